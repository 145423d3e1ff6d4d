package gateway

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// AdminKey lets its holder administer.
type AdminKey struct {
	// Name says in the log who it was; empty: a name made of the key's hash.
	Name string
	// Key is shown as a bearer token. One or more printable ASCII characters
	// without spaces.
	Key string
}

// AdminOptions are what the admin interface of a gateway is made of.
type AdminOptions struct {
	// Keys are those that are accepted; at least one.
	Keys []AdminKey
	// Level is the least level of this process's log lines, which the interface
	// changes. Nil: it says that it cannot.
	Level *slog.LevelVar
	// Host is this machine's name, as its workers announce it: loopback addresses of
	// theirs are of use to who asks here.
	Host string
}

// Admin is the interface for operators: /admin/v1, on a listener of its own. It is
// safe for concurrent use, and works as long as the gateway's queue does, also while
// the gateway drains.
type Admin struct {
	*Gateway
	keys []adminKey
	// levelMu makes a change of level one step.
	levelMu sync.Mutex
	level   *slog.LevelVar
	host    string
	// own has no origin that is allowed: no web page administers.
	own  *origins
	http http.Handler
}

type adminKey struct {
	name string
	hash [sha256.Size]byte
}

// NewAdmin makes the admin interface of a gateway. An error wraps
// [ErrInvalidConfig].
func NewAdmin(g *Gateway, o AdminOptions) (*Admin, error) {
	if len(o.Keys) == 0 {
		return nil, fmt.Errorf("%w: the admin interface has no key", ErrInvalidConfig)
	}
	a := &Admin{Gateway: g, level: o.Level, host: o.Host, own: newOrigins(Config{AllowedHosts: g.config.AllowedHosts})}
	for i, key := range o.Keys {
		if !printable(key.Key) {
			return nil, fmt.Errorf("%w: admin key %d: a key is one or more printable ASCII characters without spaces", ErrInvalidConfig, i+1)
		}
		hash := sha256.Sum256([]byte(key.Key))
		a.keys = append(a.keys, adminKey{name: cmp.Or(key.Name, "key-"+hex.EncodeToString(hash[:4])), hash: hash})
	}
	mux := http.NewServeMux()
	routes := a.routes()
	for _, rt := range routes {
		rt.api = apiAdmin
		mux.Handle(rt.path, g.routeHandler(rt))
	}
	none := noRoute(routes)
	mux.Handle("/", none)
	a.http = g.identify(g.observe(g.recoverPanic(a.guard(a.authenticate(plainTargets(mux, none))))))
	return a, nil
}

// Handler serves every route of the admin interface, and no other.
func (a *Admin) Handler() http.Handler { return a.http }

// NewAdminHTTPServer makes a server around the admin interface, with the limits of
// the gateway's own. Shut it down before the queue is closed.
func NewAdminHTTPServer(a *Admin) *http.Server {
	server := NewHTTPServer(a.Gateway)
	server.Handler = a.Handler()
	return server
}

func (a *Admin) routes() []route {
	put := func(read, write http.HandlerFunc) map[string]http.HandlerFunc {
		methods := get(read)
		methods[http.MethodPut] = write
		return methods
	}
	drop := func(read, remove http.HandlerFunc) map[string]http.HandlerFunc {
		methods := get(read)
		methods[http.MethodDelete] = remove
		return methods
	}
	return []route{
		{path: "/admin/v1/targets", quiet: true, methods: get(a.targets)},
		{path: "/admin/v1/workers", methods: get(a.listWorkers)},
		{path: "/admin/v1/workers/{id}", methods: get(a.showWorker)},
		{path: "/admin/v1/workers/{id}/drain", methods: post(a.drainWorker)},
		{path: "/admin/v1/workers/{id}/undrain", methods: post(a.undrainWorker)},
		{path: "/admin/v1/workers/{id}/batch-window", methods: put(a.getBatchWindow, a.setBatchWindow)},
		{path: "/admin/v1/workers/{id}/log-level", methods: put(a.getLogLevel, a.setLogLevel)},
		{path: "/admin/v1/batch-window", methods: put(a.getBatchWindow, a.setBatchWindow)},
		{path: "/admin/v1/log-level", methods: put(a.getLogLevel, a.setLogLevel)},
		{path: "/admin/v1/gateway/log-level", methods: put(a.getOwnLevel, a.setOwnLevel)},
		{path: "/admin/v1/jobs", methods: get(a.listJobs)},
		{path: "/admin/v1/jobs/{id}", methods: drop(a.showJobOf, a.cancelJob)},
		{path: "/admin/v1/dead", methods: get(a.listDead)},
		{path: "/admin/v1/dead/{id}", methods: drop(a.showDead, a.dropDead)},
		{path: "/admin/v1/dead/{id}/replay", methods: post(a.replayDead)},
	}
}

// authenticate lets in who shows a key. The comparison takes the same time whichever
// key matches, and whether one does.
func (a *Admin) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := keyFrom(r)
		given := sha256.Sum256([]byte(key))
		found := -1
		for i := range a.keys {
			found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(a.keys[i].hash[:], given[:]), i, found)
		}
		if found < 0 {
			message := "Incorrect admin key."
			if strings.TrimSpace(key) == "" {
				message = "An admin key is needed: send it as \"Authorization: Bearer KEY\". The gateway keeps it in its data directory."
			}
			refuse(w, r, &failure{code: schemas.CodeUnauthorized, message: message})
			return
		}
		callOf(r).owner = a.keys[found].name
		next.ServeHTTP(w, r)
	})
}

// guard checks the Host as the gateway's own does, and lets no web page in.
func (a *Admin) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !a.own.hostAllowed(r.Host):
			refuse(w, r, &failure{code: schemas.CodeForbidden, message: fmt.Sprintf(
				"The host name %q is not served here (protection against DNS rebinding). "+
					"Use localhost or an IP address, or start the gateway with --allowed-hosts and this name.", shown(hostOf(r.Host)))})
		case r.Header.Get("Origin") != "":
			refuse(w, r, &failure{code: schemas.CodeForbidden, message: "Web pages do not administer: a request with an Origin is not served."})
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// headerUser is who the client says that it acts for, beside its key.
const headerUser = "X-Semantic-User"

// who says for the logs who made a request: the name of the key, and the user that
// the client names.
func who(r *http.Request) string {
	name := callOf(r).owner
	if user := r.Header.Get(headerUser); user != "" && printable(user) && len(user) <= maxNameShown {
		name += " (" + user + ")"
	}
	return name
}

// acting is the context of a change: it is made also for a client that does not
// wait for it, and workers hear who asked. release it.
func (a *Admin) acting(r *http.Request) (ctx context.Context, release context.CancelFunc) {
	ctx = queue.WithActor(context.WithoutCancel(r.Context()), who(r)+" from "+r.RemoteAddr)
	return context.WithTimeout(ctx, a.config.QueueTimeout)
}

// looking is the context of a question.
func (a *Admin) looking(r *http.Request) (ctx context.Context, release context.CancelFunc) {
	return context.WithTimeout(r.Context(), a.config.QueueTimeout)
}

// audit says in the log who changed what, from where; err is why it was not done.
func audit(ctx context.Context, r *http.Request, change, target string, before, after any, err error) {
	attrs := []slog.Attr{
		slog.String(schemas.LogWho, who(r)), slog.String(schemas.LogRemote, r.RemoteAddr),
		slog.String(schemas.LogChange, change), slog.String(schemas.LogTarget, target),
	}
	if before != nil {
		attrs = append(attrs, slog.Any(schemas.LogBefore, before))
	}
	if after != nil {
		attrs = append(attrs, slog.Any(schemas.LogAfter, after))
	}
	message := "changed by an operator"
	if err != nil {
		message = "a change by an operator was not made"
		attrs = append(attrs, slog.Any(schemas.LogError, err))
	}
	schemas.LogAudit(ctx, callOf(r).log, message, attrs...)
}
