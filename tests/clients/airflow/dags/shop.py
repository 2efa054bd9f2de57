"""A DAG that waits for a run of dbt."""
import datetime
import os

from airflow.providers.dbt.cloud.sensors.dbt import DbtCloudJobRunSensor
from airflow.sdk import DAG

with DAG("shop", schedule=None, start_date=datetime.datetime(2026, 1, 1)):
    DbtCloudJobRunSensor(task_id="wait_for_run", run_id=int(os.environ["DBT_RUN"]), poke_interval=1, timeout=30)
