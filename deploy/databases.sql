-- Run once by the PostgreSQL image when its volume is empty: a database for each service that keeps tables.
CREATE DATABASE casework_case;
CREATE DATABASE casework_sla;
CREATE DATABASE casework_report;
