"""A run that stays as it is: running, and every further one queued.

Its task wants a pool that does not exist, so the scheduler leaves it alone, at no cost. Making the pool lets it go.
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
