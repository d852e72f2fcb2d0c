# TLS with a private CA, and a front server that takes no large bodies: nginx before docker-registry.

make_certificate() { # cert.pem and key.pem for 127.0.0.1, by the CA in ca.pem
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem 2>/dev/null &&
        openssl req -newkey rsa:2048 -nodes -subj /CN=registry -keyout key.pem -out request.pem 2>/dev/null &&
        echo 'subjectAltName=IP:127.0.0.1' >names &&
        openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names \
            -out cert.pem 2>/dev/null || fail "openssl"
}

start_nginx() { # $front, with the CA in ca.pem
    local port
    port=$(free_port)
    make_certificate
    mkdir -p nginx
    cat >nginx.conf <<EOF
daemon off; master_process off; pid $PWD/nginx/pid; error_log $PWD/nginx/error.log;
events {}
http {
    access_log off; client_max_body_size 5m; client_body_temp_path $PWD/nginx/body; proxy_temp_path $PWD/nginx/proxy;
    fastcgi_temp_path $PWD/nginx/a; uwsgi_temp_path $PWD/nginx/b; scgi_temp_path $PWD/nginx/c;
    server {
        listen 127.0.0.1:$port ssl; ssl_certificate $PWD/cert.pem; ssl_certificate_key $PWD/key.pem;
        location / {
            proxy_pass http://$registry; proxy_set_header Host 127.0.0.1:$port;
            proxy_set_header X-Forwarded-Proto https;
        }
    }
}
EOF
    start nginx.log "$(PATH=$PATH:/usr/sbin command -v nginx)" -c "$PWD/nginx.conf"
    front=127.0.0.1:$port
    until_true answers_http "https://$front/v2/"
}

private_ca() {
    PATH=$PATH:/usr/sbin need docker-registry nginx openssl
    appliances
    start_registry
    start_nginx
    refuses 125 'certificate' push full.torpor "docker://$front/torpor/full:v1"
    works push --cacert ca.pem full.torpor "docker://$front/torpor/full:v1"
    elsewhere
    refuses 125 'certificate' pull "docker://$front/torpor/full:v1"
    works pull --cacert ca.pem "docker://$front/torpor/full:v1"
    rm ./*.torpor
    wakes "docker://$front/torpor/full:v1"
    # By wire: what fetches the rest trusts the same.
    elsewhere wire
    refuses 125 'certificate' resume -d --name wired "docker://$front/torpor/full:v1"
    works resume -d --name wired --cacert ca.pem "docker://$front/torpor/full:v1"
    answers wired "check 4 12 7" "check ok"
    until_true has_arrived wired
    works kill wired
}
try private_ca "TLS with a private CA, behind an nginx that takes 5 MiB at once; by wire, too"

# In a mount namespace of its own: this host as one without certificates.
without_certificates() { # COMMAND...
    unshare --mount sh -c 'mount -t tmpfs none /etc/ssl/certs && exec "$@"' sh "$@"
}

no_certificates() {
    PATH=$PATH:/usr/sbin need docker-registry
    without_certificates true 2>/dev/null || skip "no mount namespace can be made here"
    appliances
    start_registry
    without_certificates "$TORPOR" push full.torpor "docker://$registry/torpor/full:v1" >pushed 2>&1 || fail "$(<pushed)"
}
try no_certificates "a registry of this host by http, where there are no certificates"

# They are what is to be trusted.
named_certificates() {
    PATH=$PATH:/usr/sbin need docker-registry
    appliances
    start_registry
    : >empty.pem
    refuses 125 'certificate' push --cacert empty.pem full.torpor "docker://$registry/torpor/full:v1"
    refuses 125 'certificate' push --cacert none.pem full.torpor "docker://$registry/torpor/full:v1"
    works push full.torpor "docker://$registry/torpor/full:v1"
}
try named_certificates "certificates that are named and cannot be read: not even a registry of this host is spoken to by http"

# One file, with a password.
web_password() {
    local port
    PATH=$PATH:/usr/sbin need nginx openssl
    appliances
    make_certificate
    port=$(free_port)
    mkdir -p nginx site
    mv full.torpor site/app.torpor
    printf 'me:%s\n' "$(openssl passwd -apr1 secret)" >site.passwords
    cat >nginx.conf <<EOF
daemon off; master_process off; pid $PWD/nginx/pid; error_log $PWD/nginx/error.log;
events {}
http {
    access_log $PWD/nginx/log; client_body_temp_path $PWD/nginx/body; proxy_temp_path $PWD/nginx/proxy;
    fastcgi_temp_path $PWD/nginx/a; uwsgi_temp_path $PWD/nginx/b; scgi_temp_path $PWD/nginx/c;
    server {
        listen 127.0.0.1:$port ssl; ssl_certificate $PWD/cert.pem; ssl_certificate_key $PWD/key.pem;
        root $PWD/site; auth_basic "files"; auth_basic_user_file $PWD/site.passwords;
    }
}
EOF
    start nginx.log "$(PATH=$PATH:/usr/sbin command -v nginx)" -c "$PWD/nginx.conf"
    front=127.0.0.1:$port
    until_true answers_http "https://$front/"
    refuses 125 'certificate' resume -d "https://$front/app.torpor"
    refuses 125 'status 401 \(torpor login\?\)' resume -d --cacert ca.pem "https://$front/app.torpor"
    ! echo wrong | "$TORPOR" login -u me --password-stdin --cacert ca.pem "$front" >out 2>err || fail "wrong, and taken"
    grep -q 'status 401: the user or the password is refused' err || fail "$(<err)"
    refuses 125 'standard input, which --password-stdin reads' login -u me --password-stdin --cacert ca.pem "$front"
    setsid -w "$TORPOR" login -u me --cacert ca.pem "$front" >out 2>err </dev/null
    grep -q 'a password is needed.*: use --password-stdin' err || fail "$(<err)"
    echo secret | "$TORPOR" login -u me --password-stdin --cacert ca.pem "$front" >out || fail "login"
    works resume -d --name woken --cacert ca.pem "https://$front/app.torpor"
    answers woken "check 4 12 7" "check ok"
    until_true has_arrived woken
    works kill woken
    ! grep -q '" 40[013] .*app.torpor' nginx/log || fail "$(<nginx/log)"
    works logout "$front"
    refuses 125 'status 401' resume -d --cacert ca.pem "https://$front/app.torpor"
}
try web_password "resume of a file of a web server with TLS, a private CA and a password"

# The configuration in torpor(1), with other addresses and files.
before_serve() {
    local port
    PATH=$PATH:/usr/sbin need nginx openssl curl
    appliances
    works tag full.torpor app:1
    start_server full.torpor --store
    make_certificate
    port=$(free_port)
    mkdir -p nginx
    cat >nginx.conf <<EOF
daemon off; master_process off; pid $PWD/nginx/pid; error_log $PWD/nginx/error.log;
events {}
http {
    access_log off; client_body_temp_path $PWD/nginx/body; proxy_temp_path $PWD/nginx/proxy;
    fastcgi_temp_path $PWD/nginx/a; uwsgi_temp_path $PWD/nginx/b; scgi_temp_path $PWD/nginx/c;
$(sed -n '/^server {$/,/^}$/p' "$registry_tests/../../cli/torpor.1" |
        sed "s,listen 443,listen 127.0.0.1:$port,; s,127.0.0.1:5000,$served,
             s,/etc/ssl/certs/registry.pem,$PWD/cert.pem,; s,/etc/ssl/private/registry.key,$PWD/key.pem,")
}
EOF
    grep -q "proxy_pass http://$served;" nginx.conf || fail "no configuration in the manual: $(<nginx.conf)"
    start nginx.log "$(PATH=$PATH:/usr/sbin command -v nginx)" -c "$PWD/nginx.conf"
    front=127.0.0.1:$port
    until_true answers_http "https://$front/v2/"
    curl -s --cacert ca.pem -r 1000- -o rest "https://$front/full.torpor" || fail "curl"
    tail -c +1001 full.torpor | cmp - rest || fail "another range"
    same "what is no read" "$(curl -s --cacert ca.pem -X PUT -o /dev/null -w '%{http_code}' "https://$front/v2/app/manifests/1")" 403
    elsewhere
    works pull --cacert ca.pem "docker://$front/app:1"
    rm ./*.torpor
    wakes "docker://$front/app:1"
}
try before_serve "serve behind nginx, which speaks TLS, as torpor(1) has it"
