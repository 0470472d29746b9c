-- Seconds of training and evaluation by model and device; a pack's seconds are shared out to its networks.
SELECT model, device, count(*) AS networks, sum(updates) AS updates, sum(wall_seconds / pack_size) AS seconds,
       1000 * sum(wall_seconds / pack_size) / sum(updates) AS ms_per_update
FROM trials WHERE status = 'completed' GROUP BY ALL ORDER BY seconds DESC
