"""Apache Kafka and PostgreSQL on this machine, from Python packages: the same software that runs in production."""
