package natsinit

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/semantic-worker/semantic/queue"
)

// keyring has the keys that sign accounts and users, by name: "operator",
// "system", "semantic", "observers", "publisher-NAME", and "gateway" and
// "worker", which may sign users of these roles only.
type keyring map[string]nkeys.KeyPair

// revocation shuts one user out of the account with the streams, or of the
// observers'.
type revocation struct {
	account string // as in the keyring
	key     string // the user's
}

const (
	keyOperator  = "operator"
	keySystem    = "system"   // NATS's own account
	keySemantic  = "semantic" // the account with the streams
	keyObservers = "observers"
	keyPublisher = "publisher-"
)

// scopedRoles are the roles whose rights are in the account's token, by a
// signing key of their own: they follow the release without new credentials.
func scopedRoles() []queue.Role { return []queue.Role{queue.RoleGateway, queue.RoleWorker} }

// newKeyring makes every key that is not there yet.
func (k keyring) complete(publishers []string) error {
	names := []string{keySystem, keySemantic, keyObservers}
	for _, role := range scopedRoles() {
		names = append(names, string(role))
	}
	for _, p := range publishers {
		names = append(names, keyPublisher+p)
	}
	if k[keyOperator] == nil {
		pair, err := nkeys.CreateOperator()
		if err != nil {
			return fmt.Errorf("operator key: %w", err)
		}
		k[keyOperator] = pair
	}
	for _, name := range names {
		if k[name] != nil {
			continue
		}
		pair, err := nkeys.CreateAccount()
		if err != nil {
			return fmt.Errorf("key %s: %w", name, err)
		}
		k[name] = pair
	}
	return nil
}

// publishers lists the publishers that have an account.
func (k keyring) publishers() []string {
	var names []string
	for name := range k {
		if p, ok := strings.CutPrefix(name, keyPublisher); ok {
			names = append(names, p)
		}
	}
	slices.Sort(names)
	return names
}

// public is the public key of a name that is in the ring.
func (k keyring) public(name string) string {
	key, _ := k[name].PublicKey() // fails for no pair that was made or parsed
	return key
}

// accountsConf is the file accounts.conf: who may do what, and who no more,
// signed.
func (k keyring) accountsConf(revoked []revocation) ([]byte, error) {
	operator := jwt.NewOperatorClaims(k.public(keyOperator))
	operator.Name, operator.SystemAccount = "semantic", k.public(keySystem)
	token, err := operator.Encode(k[keyOperator])
	if err != nil {
		return nil, fmt.Errorf("operator: %w", err)
	}
	var b strings.Builder
	b.WriteString("# Written by `semantic nats`: accounts and their rights, signed by the operator's key.\n# There is no secret in it.\n\n")
	fmt.Fprintf(&b, "operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: {\n", token, k.public(keySystem))
	accounts := []*jwt.AccountClaims{k.systemAccount(), k.semanticAccount(), k.importer(keyObservers, queue.RoleObserver, "")}
	for _, p := range k.publishers() {
		accounts = append(accounts, k.importer(keyPublisher+p, queue.RolePublisher, p))
	}
	for _, a := range accounts {
		for _, r := range revoked {
			if k.public(r.account) == a.Subject {
				a.Revoke(r.key)
			}
		}
		var problems jwt.ValidationResults
		a.Validate(&problems)
		if errs := problems.Errors(); len(errs) > 0 {
			return nil, fmt.Errorf("account %s: %w", a.Name, errors.Join(errs...))
		}
		token, err := a.Encode(k[keyOperator])
		if err != nil {
			return nil, fmt.Errorf("account %s: %w", a.Name, err)
		}
		fmt.Fprintf(&b, "  # %s\n  %s: %s\n", a.Name, a.Subject, token)
	}
	b.WriteString("}\n")
	return []byte(b.String()), nil
}

func (k keyring) systemAccount() *jwt.AccountClaims {
	a := jwt.NewAccountClaims(k.public(keySystem))
	a.Name = "SYS"
	return a
}

// semanticAccount has the streams; its gateways and workers have the rights of
// their roles.
func (k keyring) semanticAccount() *jwt.AccountClaims {
	a := jwt.NewAccountClaims(k.public(keySemantic))
	a.Name = "SEMANTIC"
	a.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit,
	}
	for _, role := range scopedRoles() {
		rights := role.Rights()
		scope := jwt.NewUserScope()
		scope.Key, scope.Role = k.public(string(role)), string(role)
		scope.Template.Permissions = permissions(rights)
		a.SigningKeys.AddScopedSigner(scope)
	}
	for _, e := range queue.Exports() {
		export := &jwt.Export{Name: e.Subject, Subject: jwt.Subject(e.Subject), Type: jwt.Stream}
		if e.Service {
			export.Type, export.ResponseType = jwt.Service, jwt.ResponseTypeSingleton
			if e.Many {
				export.ResponseType = jwt.ResponseTypeStream
			}
		}
		a.Exports.Add(export)
	}
	return a
}

// importer is an account outside the one with the streams.
func (k keyring) importer(key string, role queue.Role, name string) *jwt.AccountClaims {
	a := jwt.NewAccountClaims(k.public(key))
	a.Name = strings.ToUpper(key)
	services, streams := role.Imports()
	add := func(subjects []string, kind jwt.ExportType) {
		for _, s := range (queue.Rights{Publish: subjects}).For(name, "").Publish {
			a.Imports.Add(&jwt.Import{Name: s, Subject: jwt.Subject(s), Account: k.public(keySemantic), Type: kind})
		}
	}
	add(services, jwt.Service)
	add(streams, jwt.Stream)
	return a
}

func permissions(r queue.Rights) jwt.Permissions {
	var p jwt.Permissions
	p.Pub.Allow.Add(r.Publish...)
	p.Sub.Allow.Add(r.Subscribe...)
	return p
}

// user makes the credentials of a new user.
func (k keyring) user(role queue.Role, name string) ([]byte, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	key, err := pair.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	u := jwt.NewUserClaims(key)
	u.Name = name
	u.Tags.Add(queue.TagRole + string(role))
	signer := keySemantic
	switch role {
	case queue.RoleGateway, queue.RoleWorker:
		signer, u.IssuerAccount = string(role), k.public(keySemantic)
		u.SetScoped(true)
	case queue.RoleObserver:
		signer = keyObservers
		u.Permissions = permissions(role.Rights().For(name, key))
	case queue.RolePublisher:
		signer = keyPublisher + name
		u.Permissions = permissions(role.Rights().For(name, key))
	case queue.RoleAdmin:
		u.Permissions = permissions(role.Rights())
	}
	if k[signer] == nil {
		return nil, fmt.Errorf("user %s: no key %s", name, signer)
	}
	token, err := u.Encode(k[signer])
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	seed, err := pair.Seed()
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	creds, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	return creds, nil
}
