# Beside a database as a guide has it; this page takes no port, and so no machine of its own.
psql -q <<'SQL'
create table users (id int, flexslot_pat text, flexslot_access_token text, flexslot_refresh_token text, flexslot_expires_at timestamptz);
insert into users values (1, 'flx_pat_of_a_test', null, null, null), (2, null, 'access', 'refresh', now() + interval '1 hour'), (3, null, null, null, null);
SQL
configured
block 'psql' >imported 2>&1
flexslot-proxy tenant list >listed
says user-1 listed
says user-2 listed
[[ $(wc -l <listed) == 3 ]] || fail "$(cat listed)"
psql -q -f "$(block_with sql 'alter table')"
