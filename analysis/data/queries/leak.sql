-- Accuracy and the leak past the ESBN's memory: its size, and accuracy with it closed or with another problem's.
SELECT task, withheld, arm, count(*) AS n, avg(test_accuracy) AS accuracy, avg(leak_rms) AS leak_rms,
       avg(leak_key_spread) AS key_spread, avg(closed_accuracy) AS closed, avg(swapped_accuracy) AS swapped
FROM trials WHERE status = 'completed' AND leak_rms IS NOT NULL AND rehearsal IS NOT TRUE
GROUP BY ALL ORDER BY task, withheld, leak_rms
