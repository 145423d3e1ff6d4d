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
