-- Each arm minus the baseline at the same task, m and seed, in points of test accuracy: pairs and mean difference.
SELECT a.task, a.withheld, a.arm, count(*) AS pairs, 100 * avg(a.test_accuracy - b.test_accuracy) AS difference_points
FROM trials a JOIN trials b USING (task, withheld, seed)
WHERE b.arm = 'baseline' AND a.arm <> 'baseline' AND a.status = 'completed' AND b.status = 'completed'
      AND a.rehearsal IS NOT TRUE
GROUP BY ALL ORDER BY a.task, a.withheld, a.arm
