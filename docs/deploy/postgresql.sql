-- Warroom's role and database: sudo -u postgres psql -v ON_ERROR_STOP=1 -f postgresql.sql
-- No password: the role is let in over the local socket by the name of its system user (peer, pg_hba.conf).
-- For a server elsewhere: ALTER ROLE warroom PASSWORD '...', and TLS.
CREATE ROLE warroom LOGIN;
CREATE DATABASE warroom OWNER warroom ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE warroom FROM PUBLIC;
