configured
behind sidecar 'is listening' flexslot-proxy
block 'flexslot-proxy page' >link
[[ $(curl -s -L -c jar -o page -w '%{http_code}' "$(grep -o 'http://[^ ]*' link)") == 200 ]]
says 'No connections yet' page
