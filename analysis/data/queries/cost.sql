-- Seconds of training and evaluation by model and device, without rehearsals; a pack's time is shared by its networks.
SELECT model, device, count(*) AS networks, sum(updates) AS updates, sum(wall_seconds / pack_size) AS seconds,
       1000 * sum(wall_seconds / pack_size) / sum(updates) AS ms_per_update
FROM trials WHERE status = 'completed' AND rehearsal IS NOT TRUE GROUP BY ALL ORDER BY seconds DESC
