"""A run that fails before it uploads anything, so that only Airflow knows it."""
from datetime import datetime

from airflow.decorators import dag, task


@dag(dag_id="broken", schedule=None, start_date=datetime(2026, 1, 1), catchup=False)
def broken():
    @task
    def build():
        raise RuntimeError("dbt exited with 1")

    build()


broken()
