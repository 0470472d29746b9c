-- Planned trials without a result, without rehearsals: numbers missing and failed by study and variant.
SELECT study, p.task, p.withheld, p.arm, count(*) AS planned, count(t.trial_id) FILTER (t.status = 'completed') AS completed,
       count(t.trial_id) FILTER (t.status = 'failed') AS failed, count(*) - count(t.trial_id) AS missing
FROM (SELECT DISTINCT study, task, withheld, arm, seed, trial_id FROM plans WHERE rehearsal IS NOT TRUE) p LEFT JOIN trials t USING (trial_id)
GROUP BY ALL HAVING count(*) > count(t.trial_id) FILTER (t.status = 'completed')
ORDER BY study, p.task, p.withheld, p.arm
