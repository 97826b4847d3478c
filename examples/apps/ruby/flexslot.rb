# Lists a tenant's decks through the sidecar, with Net::HTTP.

require "json"
require "net/http"

BASE = URI(ENV.fetch("FLEXSLOT_URL", "http://localhost:3539/api/public/v1"))
TENANT = ENV.fetch("FLEXSLOT_TENANT", "acme")

def get(flexslot, path)
  answer = flexslot.get(path, "X-Flexslot-Tenant" => TENANT)
  if answer.content_type == "application/problem+json"
    problem = JSON.parse(answer.body) # the sidecar's own
    abort "#{problem["code"]}: #{problem["detail"]} (request #{problem["request_id"]})"
  end
  abort "Flexslot answered #{answer.code}" unless answer.is_a?(Net::HTTPSuccess)
  JSON.parse(answer.body)
end

# The third argument: no proxy, whatever http_proxy says.
flexslot = Net::HTTP.new(BASE.host, BASE.port, nil)
flexslot.open_timeout = 5
flexslot.read_timeout = 75 # between two bytes of the answer; longer than the sidecar itself waits for Flexslot

decks = []
path = "#{BASE.path}/decks/"
flexslot.start do
  while path
    page = get(flexslot, path)
    decks.concat(page["results"])
    # The link names Flexslot: keep its path and its query.
    path = page["next"] && URI(page["next"]).request_uri
  end
end
puts "#{decks.length} decks"
