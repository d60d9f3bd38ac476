CREATE TABLE plimsoll.deployments (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain_id bigint NOT NULL, genesis text NOT NULL, core text NOT NULL,
    UNIQUE (chain_id, genesis, core));
CREATE SEQUENCE plimsoll.fences;
CREATE SEQUENCE plimsoll.ids INCREMENT 4294967296 MINVALUE 0 START 0;
CREATE TABLE plimsoll.members (
    id text PRIMARY KEY, deployment int NOT NULL REFERENCES plimsoll.deployments, name text NOT NULL,
    head bigint NOT NULL, seen timestamptz NOT NULL);
CREATE TABLE plimsoll.leases (
    chain_id bigint NOT NULL, genesis text NOT NULL, signer text NOT NULL, holder text NOT NULL, fence bigint NOT NULL,
    until timestamptz NOT NULL, PRIMARY KEY (chain_id, genesis, signer));
CREATE TABLE plimsoll.entries (
    deployment int NOT NULL REFERENCES plimsoll.deployments, signer text NOT NULL, id bigint NOT NULL,
    nonce bigint NOT NULL, state text NOT NULL, settled bool NOT NULL, changed_at bigint NOT NULL,
    fence bigint NOT NULL, entry text NOT NULL, PRIMARY KEY (deployment, signer, id));
CREATE INDEX ON plimsoll.entries (deployment, signer, nonce);
CREATE INDEX ON plimsoll.entries (deployment, signer) WHERE NOT settled;
CREATE TABLE plimsoll.claims (
    deployment int NOT NULL REFERENCES plimsoll.deployments, subject text NOT NULL, signer text NOT NULL,
    intent bigint NOT NULL, deadline bigint NOT NULL, ended_in bigint, PRIMARY KEY (deployment, subject));
CREATE INDEX ON plimsoll.claims (deployment, signer, intent);
CREATE TABLE plimsoll.safety (
    deployment int NOT NULL REFERENCES plimsoll.deployments, signer text NOT NULL, record text NOT NULL,
    PRIMARY KEY (deployment, signer));
CREATE TABLE plimsoll.results (
    deployment int NOT NULL REFERENCES plimsoll.deployments, intent bigint NOT NULL, at bigint NOT NULL,
    result text NOT NULL, PRIMARY KEY (deployment, intent));
