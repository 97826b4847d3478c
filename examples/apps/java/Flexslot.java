// Lists a tenant's decks through the sidecar, with java.net.http: java Flexslot.java (Java 17 and newer).

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public class Flexslot {
    static final URI BASE = URI.create(env("FLEXSLOT_URL", "http://localhost:3539/api/public/v1"));
    static final String TENANT = env("FLEXSLOT_TENANT", "acme");

    static final HttpClient FLEXSLOT = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(5)).build();

    static String get(URI uri) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(uri)
            .header("X-Flexslot-Tenant", TENANT)
            .timeout(Duration.ofSeconds(75)) // longer than the sidecar itself waits for Flexslot
            .build();
        HttpResponse<String> answer = FLEXSLOT.send(request, BodyHandlers.ofString());
        String type = answer.headers().firstValue("Content-Type").orElse("");
        if (type.startsWith("application/problem+json")) {
            String problem = answer.body(); // the sidecar's own
            throw new Exception("%s: %s (request %s)".formatted(
                text(problem, "code"), text(problem, "detail"), text(problem, "request_id")));
        }
        if (answer.statusCode() != 200) {
            throw new Exception("Flexslot answered " + answer.statusCode());
        }
        return answer.body();
    }

    public static void main(String[] args) {
        try {
            int count = 0;
            URI uri = URI.create(BASE + "/decks/");
            while (uri != null) {
                String page = get(uri);
                count = Integer.parseInt(find(page, "\"count\"\\s*:\\s*(\\d+)"));
                // The link names Flexslot: keep its path and its query.
                String next = text(page, "next");
                URI following = next == null ? null : URI.create(next);
                uri = following == null ? null : BASE.resolve(following.getRawPath() + "?" + following.getRawQuery());
            }
            System.out.println(count + " decks");
        } catch (Exception failure) {
            System.err.println(failure.getMessage());
            System.exit(1);
        }
    }

    // Java has no reader of JSON of its own; yours goes here (Jackson, Gson).
    static String text(String json, String name) {
        String found = find(json, "\"" + name + "\"\\s*:\\s*\"((?:[^\"\\\\]|\\\\.)*)\"");
        return found == null ? null : found.replaceAll("\\\\(.)", "$1");
    }

    static String find(String json, String pattern) {
        Matcher matcher = Pattern.compile(pattern).matcher(json);
        return matcher.find() ? matcher.group(1) : null;
    }

    static String env(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }
}
