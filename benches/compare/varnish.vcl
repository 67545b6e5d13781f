# Varnish as a cache before the same bytes: like Pitaya and nginx here, it serves hits to callers with a key.
vcl 4.1;

backend origin { .host = "127.0.0.1"; .port = "ORIGIN_PORT"; }

sub vcl_recv {
    unset req.http.Cookie;
    return (hash);
}

sub vcl_backend_response {
    set beresp.ttl = 1h;
}
