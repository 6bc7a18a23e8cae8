"""The one place that knows the job database.

Store functions are plain functions over a SQLAlchemy `Connection`; a `Database` runs them:

    job = await database.read(jobs.get, job_id)
    await database.write(events.append, job_id, …)
"""
