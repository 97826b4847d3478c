<?php
// Lists a tenant's decks through the sidecar, with PHP's curl.

declare(strict_types=1);

define('BASE', getenv('FLEXSLOT_URL') ?: 'http://localhost:3539/api/public/v1');
define('TENANT', getenv('FLEXSLOT_TENANT') ?: 'acme');

function get(string $url): array
{
    $call = curl_init($url);
    curl_setopt_array($call, [
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_HTTPHEADER => ['X-Flexslot-Tenant: ' . TENANT],
        CURLOPT_CONNECTTIMEOUT => 5,
        CURLOPT_TIMEOUT => 75, // longer than the sidecar itself waits for Flexslot
        CURLOPT_PROXY => '', // http_proxy is not for the sidecar
    ]);
    $body = curl_exec($call);
    if ($body === false) {
        throw new RuntimeException(curl_error($call));
    }
    $type = (string) curl_getinfo($call, CURLINFO_CONTENT_TYPE);
    if (str_starts_with($type, 'application/problem+json')) {
        $problem = json_decode($body, true, flags: JSON_THROW_ON_ERROR); // the sidecar's own
        throw new RuntimeException("{$problem['code']}: {$problem['detail']} (request {$problem['request_id']})");
    }
    $status = curl_getinfo($call, CURLINFO_RESPONSE_CODE);
    if ($status !== 200) {
        throw new RuntimeException("Flexslot answered $status");
    }
    return json_decode($body, true, flags: JSON_THROW_ON_ERROR);
}

function decks(): Generator
{
    $here = parse_url(BASE, PHP_URL_SCHEME) . '://' . parse_url(BASE, PHP_URL_HOST) . ':' . (parse_url(BASE, PHP_URL_PORT) ?? 80);
    $url = BASE . '/decks/';
    while ($url !== null) {
        $page = get($url);
        yield from $page['results'];
        // The link names Flexslot: keep its path and its query.
        $next = $page['next'] ? parse_url($page['next']) : null;
        $url = $next ? "$here{$next['path']}?{$next['query']}" : null;
    }
}

try {
    echo count(iterator_to_array(decks(), false)), " decks\n";
} catch (Exception $failure) {
    fwrite(STDERR, $failure->getMessage() . "\n");
    exit(1);
}
