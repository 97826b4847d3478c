// Lists a tenant's decks through the sidecar, with net/http.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

var (
	base   = env("FLEXSLOT_URL", "http://localhost:3539/api/public/v1")
	tenant = env("FLEXSLOT_TENANT", "acme")
	// For all of it; longer than the sidecar itself waits for Flexslot. HTTP_PROXY does not hold for localhost in Go.
	flexslot = http.Client{Timeout: 75 * time.Second}
)

// A problem of the sidecar's own (RFC 9457).
type problem struct {
	Code      string `json:"code"`
	Detail    string `json:"detail"`
	RequestID string `json:"request_id"`
}

func (p problem) Error() string {
	return fmt.Sprintf("%s: %s (request %s)", p.Code, p.Detail, p.RequestID)
}

type page struct {
	Next    string            `json:"next"`
	Results []json.RawMessage `json:"results"`
}

func get(address string) (page, error) {
	request, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return page{}, err
	}
	request.Header.Set("X-Flexslot-Tenant", tenant)
	answer, err := flexslot.Do(request)
	if err != nil {
		return page{}, err
	}
	defer answer.Body.Close()
	body := json.NewDecoder(answer.Body)
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "application/problem+json") {
		var told problem
		if err := body.Decode(&told); err != nil {
			return page{}, err
		}
		return page{}, told
	}
	if answer.StatusCode != http.StatusOK {
		return page{}, fmt.Errorf("Flexslot answered %s", answer.Status)
	}
	var found page
	return found, body.Decode(&found)
}

func main() {
	count := 0
	for address := base + "/decks/"; address != ""; {
		found, err := get(address)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		count += len(found.Results)
		if address = ""; found.Next != "" {
			// The link names Flexslot: keep its path and its query.
			following, err := url.Parse(found.Next)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			here, _ := url.Parse(base)
			address = here.Scheme + "://" + here.Host + following.RequestURI()
		}
	}
	fmt.Println(count, "decks")
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
