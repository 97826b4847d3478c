elsewhere 'flexslot-proxy-in-service tenant set-pat' 'scripts/deb builds the package; it is installed by hand before a release'
block 'install -m 0644 deploy/systemd/flexslot-proxy.service' >journal
says 'ready' journal
says 'is listening' journal
elsewhere 'enable --now flexslot-proxy.socket' 'sockets need a real systemd, which keeps them over a restart'

elsewhere 'flexslot-proxy-backup.timer' 'timers need a real systemd'
elsewhere 'dpkg-deb -x' 'there is no package of a next version'
(block 'openssl req' >/dev/null 2>&1)
openssl verify -purpose sslserver -verify_hostname sidecar.internal -CAfile ca.crt server.crt >verified
openssl verify -purpose sslclient -CAfile ca.crt shop.crt >>verified
says 'shop.crt: OK' verified
elsewhere 'curl --cacert' 'sidecar.internal is no name of this machine'

echo flx_pat_of_a_test >acme.pat
block 'sudo in-service tenant' >stored 2>&1
says 'The PAT of acme is stored in sqlite:/var/lib/flexslot-proxy/flexslot-proxy.db' stored
cp acme.pat "$HOME"
(block 'docker compose up')
block 'admin-token' >card
says '"tenant":"acme"' card

curl -s -i http://localhost:3539/t/nobody/api/public/v1/decks/ >answer
block 'explain' "s/d067bdbd-1/$(header flexslot-proxy-request-id answer)/" >told
says 'not_connected' told
says 'next:' told

configured
flexslot-proxy tenant set-pat acme <acme.pat
desktop
block 'key generate --keyring' >shown 2>/dev/null
[[ $(wc -c <shown) == 45 ]] || fail 'no key'
secret-tool clear service flexslot-proxy store laptop
cat "$(block_with toml keyring)" >>proxy.toml
block 'secret-tool store' >checked
says 'ok    key' checked
flexslot-proxy tenant list >tenants
says 'acme' tenants
block 'key rotate' >rotated 2>&1
says 'key' rotated
