-- The group commit of `beacon.store.group` as one call, so that it can be one autocommitted statement: a worker that is
-- stopped anywhere holds no lock of a job. The job's row is locked first: groups of a job follow one another, and each
-- statement below sees what the group before it left.
--
-- starts, ends, notes: arrays of objects (see `beacon.store.group_postgres`); moves: the allowed moves as 'before>after'.
CREATE OR REPLACE FUNCTION beacon_record_group(
    of_job text, starts jsonb, ends jsonb, notes jsonb, moves text[], at double precision
)
RETURNS jsonb LANGUAGE plpgsql AS $function$
DECLARE
    standing record;
    after record;
    began record;
    ended record;
BEGIN
    SELECT seq, status, stop_kind, cost_usd INTO standing FROM jobs WHERE id = of_job FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    -- An epoch that is read here cannot be raised before this group is committed.
    PERFORM 1 FROM shards
        WHERE job_id = of_job AND number IN (SELECT (start ->> 'shard')::integer FROM jsonb_array_elements(starts) start)
        ORDER BY number FOR SHARE;

    WITH accepted AS MATERIALIZED (
        SELECT given.*, known.ordinal, known.status AS before
        FROM jsonb_to_recordset(starts) AS given (
            execution_id text, attempt_id text, number integer, shard integer, epoch integer, provider text,
            written_at double precision, deadline_at double precision
        )
        JOIN shards ON shards.job_id = of_job AND shards.number = given.shard AND shards.epoch = given.epoch
        JOIN executions known ON known.id = given.execution_id AND known.job_id = of_job
        WHERE standing.status = 'running' AND standing.stop_kind IS NULL AND known.status || '>running' = ANY (moves)
    ), written AS (
        INSERT INTO attempts (id, execution_id, number, epoch, provider, status, counts, written_at)
        SELECT attempt_id, execution_id, number, epoch, provider, 'sent', true, written_at FROM accepted
    ), moved AS (
        UPDATE executions
        SET status = 'running', attempts = accepted.number, provider = accepted.provider,
            deadline_at = accepted.deadline_at, next_attempt_at = NULL, kind = NULL, stage = NULL, error = NULL
        FROM accepted WHERE executions.id = accepted.execution_id
    )
    SELECT
        coalesce(jsonb_agg(attempt_id), '[]') AS attempt_ids,
        coalesce(jsonb_agg(execution_id), '[]') AS execution_ids,
        coalesce(jsonb_agg(jsonb_build_array(ordinal, 'running')), '[]') AS told,
        count(*) AS n,
        count(*) FILTER (WHERE before = 'retrying') AS from_retrying
    INTO began FROM accepted;

    UPDATE attempts SET call_id = given.call_id
        FROM jsonb_to_recordset(notes) AS given (attempt_id text, call_id text) WHERE attempts.id = given.attempt_id;

    WITH possible AS MATERIALIZED (
        SELECT given.*, known.ordinal, known.status AS before, known.id IS NOT NULL
            AND known.status || '>' || given.status = ANY (moves)
            AND (given.number IS NULL OR given.number = known.attempts OR given.status = 'completed') AS may
        FROM jsonb_to_recordset(ends) AS given (
            place integer, execution_id text, attempt_id text, number integer, shard integer, status text,
            attempt_status text, finished_at double precision, started_at double precision,
            first_token_at double precision, duration_ms double precision, provider text, kind text, stage text,
            error text, counts boolean, next_attempt_at double precision, stages_json text, kept_json text, over boolean,
            answer text, finish_reason text, retracted boolean, served_by text, model_echoed text, region_stated text,
            region_evidence text, upstream text, input_tokens integer, output_tokens integer,
            cost_usd double precision, simulated boolean, replayed boolean, served_at double precision
        )
        LEFT JOIN executions known ON known.id = given.execution_id AND known.job_id = of_job
    ), taken AS MATERIALIZED (
        -- One end an execution: an answer before any other, else the first.
        SELECT DISTINCT ON (execution_id) * FROM possible WHERE may
        ORDER BY execution_id, (status = 'completed') DESC, place
    ), heard AS (
        -- One end an attempt: one more answer, which is evidence, then the end that was taken, then any other.
        SELECT DISTINCT ON (possible.attempt_id) possible.*, taken.place IS NOT NULL AS is_taken,
            CASE WHEN taken.place IS NULL AND possible.answer IS NOT NULL
                THEN json_build_object('text', possible.answer, 'finish_reason', possible.finish_reason,
                    'model_echoed', possible.model_echoed, 'region_stated', possible.region_stated,
                    'upstream', possible.upstream)::text
                ELSE possible.kept_json END AS keeps
        FROM possible LEFT JOIN taken USING (place)
        ORDER BY possible.attempt_id,
            (taken.place IS NULL AND (possible.answer IS NOT NULL OR possible.kept_json IS NOT NULL)
                AND NOT EXISTS (SELECT FROM taken AS first
                    WHERE first.attempt_id = possible.attempt_id AND first.answer = possible.answer)) DESC,
            taken.place IS NOT NULL DESC, possible.place
    ), attempted AS (
        UPDATE attempts
        SET status = CASE WHEN heard.is_taken THEN heard.attempt_status ELSE 'refused' END,
            kind = heard.kind, stage = heard.stage, error = heard.error, counts = heard.counts,
            started_at = heard.started_at, finished_at = heard.finished_at,
            stages_json = heard.stages_json, kept_json = heard.keeps
        FROM heard
        WHERE attempts.id = heard.attempt_id
            -- Whoever did not hear of an attempt's answer may end it once more, without one or with the very same: it stays.
            AND CASE WHEN heard.is_taken THEN true
                WHEN heard.keeps IS NULL THEN attempts.status <> 'answered' AND attempts.kept_json IS NULL
                ELSE NOT EXISTS (SELECT FROM results WHERE results.execution_id = heard.execution_id
                    AND results.attempt_id = heard.attempt_id AND results.answer = heard.answer) END
    ), moved AS (
        UPDATE executions
        SET status = taken.status, kind = taken.kind, stage = taken.stage, error = taken.error,
            provider = taken.provider, started_at = taken.started_at, first_token_at = taken.first_token_at,
            finished_at = CASE WHEN taken.over THEN taken.finished_at END,
            persisted_at = CASE WHEN taken.over THEN at END,
            duration_ms = taken.duration_ms, next_attempt_at = taken.next_attempt_at,
            counted = counted + CASE WHEN taken.counts AND taken.attempt_id IS NOT NULL THEN 1 ELSE 0 END
        FROM taken WHERE executions.id = taken.execution_id
    ), answered AS (
        INSERT INTO results (
            execution_id, attempt_id, answer, finish_reason, retracted, provider, model_echoed, region_stated,
            region_evidence, upstream, input_tokens, output_tokens, cost_usd, simulated, replayed, served_at
        )
        SELECT execution_id, attempt_id, answer, finish_reason, retracted, served_by, model_echoed, region_stated,
            region_evidence, upstream, input_tokens, output_tokens, cost_usd, simulated, replayed, served_at
        FROM taken WHERE answer IS NOT NULL
    ), counted_shards AS (
        UPDATE shards SET done = done + n
        FROM (SELECT shard, count(*) AS n FROM taken WHERE over GROUP BY shard) AS finished
        WHERE shards.job_id = of_job AND shards.number = finished.shard
    )
    SELECT
        coalesce(jsonb_agg(execution_id), '[]') AS execution_ids,
        coalesce(jsonb_agg(jsonb_build_array(ordinal, status) ORDER BY place), '[]') AS told,
        count(*) AS n,
        count(*) FILTER (WHERE over) AS n_over,
        count(*) FILTER (WHERE status = 'retrying') - count(*) FILTER (WHERE before = 'retrying') AS retrying,
        - count(*) FILTER (WHERE before = 'running') AS running,
        count(*) FILTER (WHERE status = 'completed') AS completed,
        count(*) FILTER (WHERE status = 'failed') AS failed,
        count(*) FILTER (WHERE status = 'timed_out') AS timed_out,
        count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
        max(finished_at) FILTER (WHERE over) AS last_finished_at,
        coalesce(sum(cost_usd), 0) AS cost_usd,
        count(*) FILTER (WHERE answer IS NOT NULL AND cost_usd IS NULL) AS cost_unknown,
        coalesce(bool_or(simulated), false) AS simulated,
        coalesce(bool_or(replayed), false) AS replayed
    INTO ended FROM taken;

    IF began.n + ended.n = 0 THEN
        RETURN jsonb_build_object('seq', standing.seq, 'status', standing.status, 'stop_kind', standing.stop_kind,
            'cost_usd', standing.cost_usd, 'started', '[]'::jsonb, 'moved', '[]'::jsonb);
    END IF;

    UPDATE jobs SET
        seq = seq + 1,
        done = done + ended.n_over,
        status = CASE WHEN status = 'running' AND ended.n_over > 0 AND done + ended.n_over = total
            THEN 'finalizing' ELSE status END,
        finalizing_at = CASE WHEN status = 'running' AND ended.n_over > 0 AND done + ended.n_over = total
            THEN at ELSE finalizing_at END,
        last_finished_at = greatest(last_finished_at, ended.last_finished_at),
        cost_usd = jobs.cost_usd + ended.cost_usd,
        cost_unknown = jobs.cost_unknown + ended.cost_unknown,
        simulated = jobs.simulated OR ended.simulated,
        replayed = jobs.replayed OR ended.replayed,
        running = jobs.running + began.n + ended.running,
        retrying = jobs.retrying - began.from_retrying + ended.retrying,
        completed = jobs.completed + ended.completed,
        failed = jobs.failed + ended.failed,
        timed_out = jobs.timed_out + ended.timed_out,
        cancelled = jobs.cancelled + ended.cancelled
    WHERE id = of_job
    RETURNING seq, status, jobs.cost_usd, jsonb_build_object(
        'running', running, 'retrying', retrying, 'completed', completed, 'failed', failed,
        'timed_out', timed_out, 'cancelled', cancelled, 'total', total,
        'pending', total - running - retrying - completed - failed - timed_out - cancelled) AS counts
    INTO after;

    INSERT INTO events (job_id, seq, at, kind, data_json)
    VALUES (of_job, after.seq, at, 'group', jsonb_build_object(
        'moves', began.told || ended.told, 'status', after.status, 'counts', after.counts)::text);

    RETURN jsonb_build_object('seq', after.seq, 'status', after.status, 'stop_kind', standing.stop_kind,
        'cost_usd', after.cost_usd, 'started', began.attempt_ids, 'moved', began.execution_ids || ended.execution_ids);
END
$function$
