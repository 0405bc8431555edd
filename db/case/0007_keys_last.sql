-- Each command finds its rows by their whole key. While a table is young the planner cannot tell apart the indexes that
-- begin alike, and then takes the one that was made last: so that is the key, not one that would read through an account.

CREATE UNIQUE INDEX cases_key ON cases (partition, account, id);
ALTER TABLE cases DROP CONSTRAINT cases_pkey;
ALTER TABLE cases ADD CONSTRAINT cases_pkey PRIMARY KEY USING INDEX cases_key;

CREATE UNIQUE INDEX contact_addresses_key ON contact_addresses (partition, account, network, address);
ALTER TABLE contact_addresses DROP CONSTRAINT contact_addresses_pkey;
ALTER TABLE contact_addresses ADD CONSTRAINT contact_addresses_pkey PRIMARY KEY USING INDEX contact_addresses_key;

CREATE UNIQUE INDEX sessions_key ON sessions (partition, account, session);
ALTER TABLE sessions DROP CONSTRAINT sessions_pkey;
ALTER TABLE sessions ADD CONSTRAINT sessions_pkey PRIMARY KEY USING INDEX sessions_key;

CREATE UNIQUE INDEX tabs_key ON tabs (partition, account, case_id, session);
ALTER TABLE tabs DROP CONSTRAINT tabs_pkey;
ALTER TABLE tabs ADD CONSTRAINT tabs_pkey PRIMARY KEY USING INDEX tabs_key;
