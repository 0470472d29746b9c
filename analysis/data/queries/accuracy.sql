-- Test accuracy by variant: networks, mean, standard error (sample SD / sqrt(n)), smallest, largest.
SELECT task, withheld, arm, count(*) AS n, avg(test_accuracy) AS mean,
       stddev_samp(test_accuracy) / sqrt(count(*)) AS sem, min(test_accuracy) AS smallest, max(test_accuracy) AS largest
FROM trials WHERE status = 'completed' AND rehearsal IS NOT TRUE
GROUP BY ALL ORDER BY task, withheld, arm
