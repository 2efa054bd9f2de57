"""A run that fails before it uploads anything: only Airflow knows of it."""
from datetime import datetime

from airflow.decorators import dag, task


@dag(dag_id="broken", schedule=None, start_date=datetime(2026, 1, 1), catchup=False)
def broken():
    @task
    def build():
        raise RuntimeError("dbt ended with 1")

    build()


broken()
