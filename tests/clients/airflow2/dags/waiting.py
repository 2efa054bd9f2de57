"""A DAG whose first run stays running, while every further run stays queued.

Its task needs a pool that does not exist, so the scheduler does not start it. Creating the pool lets it start.
"""
from datetime import datetime

from airflow.decorators import dag, task


@dag(dag_id="waiting", schedule=None, start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1)
def waiting():
    @task(pool="gate")
    def build():
        pass

    build()


waiting()
