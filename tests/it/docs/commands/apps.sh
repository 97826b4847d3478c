elsewhere 'openssl rand' 'the token is that of a sidecar with callers, which it::callers has tests of'
elsewhere 'exec curl' 'a part of examples/apps/curl/flexslot.sh, which it::process::apps::curl runs'
