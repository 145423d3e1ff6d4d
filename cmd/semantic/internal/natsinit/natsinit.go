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
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

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
