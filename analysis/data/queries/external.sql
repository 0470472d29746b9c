-- Results of other code (esbn import) beside ours, by origin: networks, mean, standard error.
SELECT task, withheld, arm, origin, count(*) AS n, avg(test_accuracy) AS mean,
       stddev_samp(test_accuracy) / sqrt(count(*)) AS sem
FROM (SELECT task, withheld, arm, 'ours' AS origin, test_accuracy
      FROM trials WHERE status = 'completed' AND rehearsal IS NOT TRUE
      UNION ALL SELECT task, withheld, arm, origin, test_accuracy FROM external)
GROUP BY ALL ORDER BY task, withheld, arm, origin
