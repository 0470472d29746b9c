-- Updates until training accuracy averages 99 % over 9 batches in a row (every 10th is stored); null: never.
WITH smooth AS (
    SELECT trial_id, "update", avg(accuracy) OVER nine AS accuracy, count(*) OVER nine AS batches
    FROM curves WINDOW nine AS (PARTITION BY trial_id ORDER BY "update" ROWS 8 PRECEDING)
), reached AS (
    SELECT trial_id, min("update") AS updates FROM smooth WHERE batches = 9 AND accuracy >= 0.99 GROUP BY trial_id
)
SELECT task, withheld, arm, count(*) AS n, count(reached.updates) AS reached, median(reached.updates) AS median_updates
FROM trials LEFT JOIN reached USING (trial_id)
WHERE status = 'completed' AND rehearsal IS NOT TRUE
GROUP BY ALL ORDER BY task, withheld, arm
