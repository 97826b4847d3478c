<?php
// Lists a tenant's decks through the sidecar, with Guzzle: composer require guzzlehttp/guzzle

declare(strict_types=1);

use GuzzleHttp\Client;
use GuzzleHttp\Exception\BadResponseException;
use GuzzleHttp\Exception\GuzzleException;
use GuzzleHttp\Psr7\Uri;

require 'vendor/autoload.php';

$base = getenv('FLEXSLOT_URL') ?: 'http://localhost:3539/api/public/v1';
$tenant = getenv('FLEXSLOT_TENANT') ?: 'acme';

$flexslot = new Client([
    'headers' => ['X-Flexslot-Tenant' => $tenant],
    'connect_timeout' => 5,
    'timeout' => 75, // longer than the sidecar itself waits for Flexslot
    'proxy' => '', // HTTP_PROXY is not for the sidecar
]);

function decks(Client $flexslot, Uri $url): Generator
{
    while ($url !== null) {
        $page = json_decode((string) $flexslot->get($url)->getBody(), true, flags: JSON_THROW_ON_ERROR);
        yield from $page['results'];
        // The link names Flexslot: keep its path and its query.
        $next = $page['next'] ? new Uri($page['next']) : null;
        $url = $next ? $url->withPath($next->getPath())->withQuery($next->getQuery()) : null;
    }
}

try {
    echo count(iterator_to_array(decks($flexslot, new Uri("$base/decks/")), false)), " decks\n";
} catch (BadResponseException $failure) { // every status of 400 and more
    $answer = $failure->getResponse();
    if (str_starts_with($answer->getHeaderLine('Content-Type'), 'application/problem+json')) {
        $problem = json_decode((string) $answer->getBody(), true); // the sidecar's own
        fwrite(STDERR, "{$problem['code']}: {$problem['detail']} (request {$problem['request_id']})\n");
    } else {
        fwrite(STDERR, "Flexslot answered {$answer->getStatusCode()}\n");
    }
    exit(1);
} catch (GuzzleException $failure) { // no answer
    fwrite(STDERR, $failure->getMessage() . "\n");
    exit(1);
}
