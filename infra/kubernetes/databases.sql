-- One database a service, on one server. Run once, on an empty data folder, as the owner of all of them.
CREATE DATABASE mlflow;
CREATE DATABASE mlflow_auth;
CREATE DATABASE prefect;
