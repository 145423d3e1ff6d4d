// Package natsinit makes what the brokers and users of a small cluster need:
// an authority and certificates for TLS, NATS accounts with the rights of each
// role (queue.Role), credentials, and server configurations.
//
// Everything is files in one folder:
//
//	authority/        keys that sign; whoever has them may do everything
//	brokers/HOST/     all that the broker of one machine needs, and the
//	                  credentials of a gateway and a worker beside it
//	creds/            credentials for everybody else, one file each; ca.pem is in
//	                  each of them, and beside them for other clients
//
// Nothing that exists is overwritten, except accounts.conf and the servers'
// certificates, by Add and Renew.
package natsinit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"

	"github.com/semantic-worker/semantic/deploy"
	"github.com/semantic-worker/semantic/queue"
)

// ErrInvalid is wrapped by errors of what was asked for; nothing was written.
var ErrInvalid = errors.New("nats init")

// Options say what to make.
type Options struct {
	// Hosts are the machines that run a broker, as HOST or HOST:PORT: one or
	// three. None means this machine, for itself.
	Hosts []string
	// Publishers are the names of programs that publish jobs themselves; each is
	// the owner of its jobs. None is fine.
	Publishers []string
	// Workers are the names of machines that run a worker and no broker.
	Workers []string
}

// Names of folders and files.
const (
	authorityDir = "authority"
	brokersDir   = "brokers"
	credsDir     = "creds"

	// ConfigFile is the server's configuration in a broker's folder.
	ConfigFile = "nats.conf"
	// GatewayCreds and WorkerCreds are credentials in a broker's folder.
	GatewayCreds = "gateway.creds"
	WorkerCreds  = "worker.creds"

	accountsFile = "accounts.conf"
	nodeFile     = "node.conf"
	certFile     = "cert.pem"
	keyFile      = "key.pem"
	caFile       = "ca.pem"
	caKeyFile    = "ca.key"
	revokedFile  = "revoked"
	serversFile  = "servers"
	keySuffix    = ".nk"
	credsSuffix  = ".creds"
)

const (
	dirMode    = 0o700
	secretMode = 0o600
	publicMode = 0o644
)

// Made is what was written.
type Made struct {
	// Brokers are the folders of the brokers.
	Brokers []string
	// Creds are the files in creds.
	Creds []string
	// Servers are the brokers' addresses as URLs.
	Servers []string
}

// Init makes the folder dir, which must be empty or not there. Errors wrap
// [ErrInvalid] where the options are at fault.
func Init(dir string, o Options) (Made, error) {
	hosts, err := parseHosts(o.Hosts)
	if err != nil {
		return Made{}, err
	}
	if err := checkNames(o, hosts); err != nil {
		return Made{}, err
	}
	switch entries, err := os.ReadDir(dir); {
	case err == nil && len(entries) > 0:
		return Made{}, fmt.Errorf("%w: %s is not empty, and nothing is overwritten", ErrInvalid, dir)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return Made{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	// Whole or not at all: it is made beside its place.
	next := filepath.Clean(dir) + ".new"
	if err := os.Mkdir(next, dirMode); err != nil {
		return Made{}, fmt.Errorf("nats init: %w", err)
	}
	made, err := build(next, o, hosts)
	if err == nil {
		if err = os.Remove(dir); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = os.Rename(next, dir)
	}
	if err != nil {
		return Made{}, errors.Join(fmt.Errorf("nats init: %w", err), os.RemoveAll(next))
	}
	for _, list := range [][]string{made.Brokers, made.Creds} {
		for i, path := range list {
			list[i] = filepath.Join(dir, strings.TrimPrefix(path, next))
		}
	}
	return made, nil
}

func checkNames(o Options, hosts []host) error {
	workers := make(map[string]bool)
	for _, h := range hosts {
		workers[h.label] = true
	}
	for _, w := range o.Workers {
		if err := validName(w); err != nil {
			return err
		}
		if workers[w] {
			return fmt.Errorf("%w: worker %q is there twice; every broker's machine has one already", ErrInvalid, w)
		}
		workers[w] = true
	}
	seen := make(map[string]bool)
	for _, p := range o.Publishers {
		if err := validPublisher(p); err != nil {
			return err
		}
		if seen[p] {
			return fmt.Errorf("%w: publisher %q is there twice", ErrInvalid, p)
		}
		seen[p] = true
	}
	return nil
}

func validPublisher(name string) error {
	if name == queue.OwnerLocal {
		return fmt.Errorf("%w: publisher %q: that is the owner of jobs that have none", ErrInvalid, name)
	}
	return validName(name)
}

// build writes everything below dir, which is empty.
func build(dir string, o Options, hosts []host) (Made, error) {
	p := place{dir: dir, keys: keyring{}}
	if err := p.keys.complete(o.Publishers); err != nil {
		return Made{}, err
	}
	ca, caKey, err := newCertAuthority()
	if err != nil {
		return Made{}, err
	}
	p.ca = ca
	for _, h := range hosts {
		p.servers = append(p.servers, "tls://"+h.client())
	}
	if err := p.saveAuthority(caKey); err != nil {
		return Made{}, err
	}
	if err := writeNew(filepath.Join(dir, caFile), ca.pem, publicMode); err != nil {
		return Made{}, err
	}
	made := Made{Servers: p.servers}
	accounts, err := p.keys.accountsConf(nil)
	if err != nil {
		return Made{}, err
	}
	for _, h := range hosts {
		folder := filepath.Join(dir, brokersDir, h.label)
		if err := p.broker(folder, h, hosts, accounts); err != nil {
			return Made{}, err
		}
		made.Brokers = append(made.Brokers, folder)
	}
	users := []user{{queue.RoleGateway, "gateway"}, {queue.RoleObserver, "observer"}, {queue.RoleAdmin, "admin"}}
	for _, w := range o.Workers {
		users = append(users, user{queue.RoleWorker, w})
	}
	for _, name := range o.Publishers {
		users = append(users, user{queue.RolePublisher, name})
	}
	for _, u := range users {
		path := filepath.Join(dir, credsDir, u.file())
		if err := p.creds(path, u); err != nil {
			return Made{}, err
		}
		made.Creds = append(made.Creds, path)
	}
	return made, nil
}

// user is somebody with credentials.
type user struct {
	role queue.Role
	name string
}

// file is its credentials file; the role alone where that is its name, too.
func (u user) file() string {
	if u.name == string(u.role) {
		return u.name + credsSuffix
	}
	return string(u.role) + "-" + u.name + credsSuffix
}

// place is a folder made by Init.
type place struct {
	dir     string
	keys    keyring
	ca      *certAuthority
	servers []string
	revoked []revocation
}

func (p *place) saveAuthority(caKey []byte) error {
	folder := filepath.Join(p.dir, authorityDir)
	if err := os.MkdirAll(folder, dirMode); err != nil {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	for _, name := range []string{caFile, caKeyFile} {
		text := p.ca.pem
		if name == caKeyFile {
			text = caKey
		}
		if err := writeNew(filepath.Join(folder, name), text, secretMode); err != nil {
			return err
		}
	}
	servers := []byte(strings.Join(p.servers, "\n") + "\n")
	if err := writeNew(filepath.Join(folder, serversFile), servers, secretMode); err != nil {
		return err
	}
	return p.saveKeys()
}

// saveKeys writes the keys that have no file yet.
func (p *place) saveKeys() error {
	for name, pair := range p.keys {
		seed, err := pair.Seed()
		if err != nil {
			return fmt.Errorf("key %s: %w", name, err)
		}
		err = writeNew(filepath.Join(p.dir, authorityDir, name+keySuffix), append(seed, '\n'), secretMode)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// broker writes all that one machine needs.
func (p *place) broker(folder string, h host, all []host, accounts []byte) error {
	if err := os.MkdirAll(folder, dirMode); err != nil {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	conf := "several-macs.conf"
	switch {
	case len(all) > 1:
		conf = "cluster.conf"
	case h.name == "localhost":
		conf = "one-mac.conf"
	}
	text, err := deploy.NATS.ReadFile("nats/" + conf)
	if err != nil {
		return fmt.Errorf("%s: %w", conf, err)
	}
	cert, key, err := p.ca.issue(h.name)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		text []byte
		mode fs.FileMode
	}{
		{ConfigFile, text, publicMode},
		{nodeFile, node(h, all), publicMode},
		{accountsFile, accounts, publicMode},
		{caFile, p.ca.pem, publicMode},
		{certFile, cert, publicMode},
		{keyFile, key, secretMode},
	} {
		if err := writeNew(filepath.Join(folder, f.name), f.text, f.mode); err != nil {
			return err
		}
	}
	if err := p.creds(filepath.Join(folder, GatewayCreds), user{queue.RoleGateway, h.label}); err != nil {
		return err
	}
	return p.creds(filepath.Join(folder, WorkerCreds), user{queue.RoleWorker, h.label})
}

// node is node.conf: the values that the configuration names.
func node(h host, all []host) []byte {
	var b bytes.Buffer
	b.WriteString("# Written by `semantic nats init`: what nats.conf names with a $.\n")
	fmt.Fprintf(&b, "NODE_NAME: %q\nNODE_PORT: %d\n", h.label, h.port)
	if len(all) == 1 && h.name == "localhost" {
		return b.Bytes()
	}
	fmt.Fprintf(&b, "NODE_LISTEN: %q\nNODE_ADVERTISE: %q\n", h.listen(), h.client())
	if len(all) == 1 {
		return b.Bytes()
	}
	fmt.Fprintf(&b, "NODE_CLUSTER_PORT: %d\nNODE_CLUSTER_ADVERTISE: %q\nNODE_ROUTES: [\n", h.port+clusterOffset, h.cluster())
	for _, member := range all {
		fmt.Fprintf(&b, "  %q\n", "nats-route://"+member.cluster())
	}
	b.WriteString("]\n")
	return b.Bytes()
}

// creds writes the credentials of a new user.
func (p *place) creds(path string, u user) error {
	text, err := p.keys.user(u.role, u.name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	return writeNew(path, queue.AppendBroker(text, p.servers, p.ca.pem), secretMode)
}

// writeNew writes a file that must not be there yet.
func writeNew(path string, text []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err //nolint:wrapcheck // names the file; wrapped by the caller
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// open reads a folder made by Init.
func open(dir string) (*place, error) {
	p := &place{dir: dir, keys: keyring{}}
	folder := filepath.Join(dir, authorityDir)
	files, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("%w: %s was not made by `semantic nats init`: %w", ErrInvalid, dir, err)
	}
	for _, f := range files {
		name, isKey := strings.CutSuffix(f.Name(), keySuffix)
		if !isKey {
			continue
		}
		seed, err := os.ReadFile(filepath.Join(folder, f.Name()))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if p.keys[name], err = nkeys.FromSeed(bytes.TrimSpace(seed)); err != nil {
			return nil, fmt.Errorf("%w: key %s: %w", ErrInvalid, f.Name(), err)
		}
	}
	cert, err := os.ReadFile(filepath.Join(folder, caFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	key, err := os.ReadFile(filepath.Join(folder, caKeyFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if p.ca, err = parseCertAuthority(cert, key); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if p.servers, err = readServers(folder); err != nil {
		return nil, err
	}
	revoked, err := os.ReadFile(filepath.Join(folder, revokedFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	for line := range strings.Lines(string(revoked)) {
		account, key, found := strings.Cut(strings.TrimSpace(line), " ")
		if !found || p.keys[account] == nil {
			return nil, fmt.Errorf("%w: %s: %q is no account and a user's key", ErrInvalid, revokedFile, line)
		}
		p.revoked = append(p.revoked, revocation{account, key})
	}
	return p, nil
}

// readServers reads the brokers' addresses.
func readServers(authority string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(authority, serversFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return strings.Fields(string(text)), nil
}

// brokers lists the folders of the brokers.
func (p *place) brokers() ([]string, error) {
	folders, err := filepath.Glob(filepath.Join(p.dir, brokersDir, "*", ConfigFile))
	if err != nil || len(folders) == 0 {
		return nil, fmt.Errorf("%w: no broker in %s", ErrInvalid, filepath.Join(p.dir, brokersDir))
	}
	for i, f := range folders {
		folders[i] = filepath.Dir(f)
	}
	slices.Sort(folders)
	return folders, nil
}

// Add makes credentials for one more user and returns their file. For a
// publisher, every broker's accounts.conf is written anew: changed is true, and
// the brokers have to be told.
func Add(dir string, role queue.Role, name string) (file string, changed bool, err error) {
	if !slices.Contains(queue.Roles(), role) {
		return "", false, fmt.Errorf("%w: role %q", ErrInvalid, role)
	}
	if role == queue.RolePublisher {
		err = validPublisher(name)
	} else {
		err = validName(name)
	}
	if err != nil {
		return "", false, err
	}
	p, err := open(dir)
	if err != nil {
		return "", false, err
	}
	u := user{role, name}
	file = filepath.Join(dir, credsDir, u.file())
	if _, err := os.Stat(file); err == nil {
		return "", false, fmt.Errorf("%w: %s exists, and is not overwritten", ErrInvalid, file)
	}
	if role == queue.RoleWorker {
		folder := filepath.Join(dir, brokersDir, name)
		if _, err := os.Stat(folder); err == nil {
			return "", false, fmt.Errorf("%w: worker %q has its credentials in %s", ErrInvalid, name, folder)
		}
	}
	if role == queue.RolePublisher && p.keys[keyPublisher+name] == nil {
		changed = true
		if err := p.keys.complete([]string{name}); err != nil {
			return "", false, fmt.Errorf("nats: %w", err)
		}
		if err := errors.Join(p.saveKeys(), p.writeAccounts()); err != nil {
			return "", false, fmt.Errorf("nats: %w", err)
		}
	}
	if err := p.creds(file, u); err != nil {
		return "", false, fmt.Errorf("nats: %w", err)
	}
	return file, changed, nil
}

// writeAccounts brings every broker's accounts.conf to what this release and
// the keyring say.
func (p *place) writeAccounts() error {
	text, err := p.keys.accountsConf(p.revoked)
	if err != nil {
		return err
	}
	folders, err := p.brokers()
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if err := replace(filepath.Join(folder, accountsFile), text, publicMode); err != nil {
			return err
		}
	}
	return nil
}

// replace writes a file beside its place and renames it.
func replace(path string, text []byte, mode fs.FileMode) error {
	next := path + ".new"
	if err := os.WriteFile(next, text, mode); err != nil {
		return err //nolint:wrapcheck // names the file; wrapped by the caller
	}
	return os.Rename(next, path) //nolint:wrapcheck // as above
}

// Renew writes every broker's accounts.conf anew, by the rights of this
// release, and returns the brokers' folders.
func Renew(dir string) ([]string, error) {
	p, err := open(dir)
	if err != nil {
		return nil, err
	}
	if err := p.writeAccounts(); err != nil {
		return nil, fmt.Errorf("nats renew: %w", err)
	}
	return p.brokers()
}
