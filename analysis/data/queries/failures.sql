-- Failed trials and why.
SELECT task, withheld, arm, seed, failure, host, finished_at FROM trials WHERE status = 'failed'
ORDER BY task, withheld, arm, seed
