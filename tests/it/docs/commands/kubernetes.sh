elsewhere 'scripts/image' 'a test of packaging builds the image and runs it; there is no registry to copy it to'
echo flx_pat_of_a_test >acme.pat
echo a-secret >client-secret
echo 'postgres://sidecar:of-a-test@db/flexslot' >store-url
block 'deployment.yaml'
block 'job.yaml'
block 'single.yaml'
rm encryption-key # each section begins anew
block 'replicas.yaml'
rm store-url
block 'redis.yaml'
says "$(sed -n 's/^ACL SETUSER flexslot-proxy on >PASSWORD //p' "$CRATE/docs/stores.md")" users.acl
[[ $(stat -c %a users.acl store-url) == $'600\n600' ]]

# The pod.
mkdir pod && cd pod
configured
echo '{"tenant":"acme","pat":"flx_pat_of_a_test"}' >tokens.jsonl
behind sidecar 'is listening' flexslot-proxy
curl -s -i http://localhost:3539/t/nobody/api/public/v1/decks/ >answer
block 'kubectl exec' "s/d067bdbd-1/$(header flexslot-proxy-request-id answer)/" >told 2>&1
says 'acme' told
says 'not_connected' told
