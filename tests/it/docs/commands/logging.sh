service
curl -s -i http://localhost:3539/t/nobody/api/public/v1/decks/ >answer
echo flx_pat_of_a_test | sudo in-service tenant set-pat acme
curl -s -o /dev/null http://localhost:3539/t/acme/oauth/token
awaits not_connected /run/journal
awaits not_proxied /run/journal

block 'explain' "s/d067bdbd-1/$(header flexslot-proxy-request-id answer)/" >told
says 'not_connected' told
block 'uniq -c' >counted
says '1 not_connected nobody' counted
block 'select(.tenant == "acme"' >about
elsewhere 'usermod -aG systemd-journal' 'Vector is not installed here'
