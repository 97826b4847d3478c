elsewhere 'exec curl' 'a part of examples/apps/curl/flexslot.sh, which it::process::apps::curl runs'
