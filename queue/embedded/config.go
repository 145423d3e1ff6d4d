package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// configFile is the server's configuration in Options.ConfigDir.
const configFile = "nats.conf"

// include is a line that stands for a file of the same folder.
var include = regexp.MustCompile(`(?m)^include "\./([^"/]+)".*$`)

// readConfig reads the configuration of a folder. Its paths are written
// relative to the folder, as in "./cert.pem", while the server takes them from
// where the process was started: so they are made whole first.
func readConfig(dir string) (*server.Options, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	if strings.ContainsAny(dir, "\"\\\n") {
		return nil, fmt.Errorf("%w: the name of the folder %q has a quote or a backslash in it", ErrConfig, dir)
	}
	text, err := os.ReadFile(filepath.Join(dir, configFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	var missing error
	whole := include.ReplaceAllStringFunc(string(text), func(line string) string {
		included, err := os.ReadFile(filepath.Join(dir, include.FindStringSubmatch(line)[1]))
		missing = errors.Join(missing, err)
		return string(included)
	})
	if missing != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, missing)
	}
	options := &server.Options{}
	if err := options.ProcessConfigString(strings.ReplaceAll(whole, `"./`, `"`+dir+`/`)); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrConfig, filepath.Join(dir, configFile), err)
	}
	if members := len(options.Routes); options.Cluster.Port != 0 && members != 1 && members != 3 {
		return nil, &MembersError{Members: members}
	}
	return options, nil
}

// globalAccount is the account of a server without accounts.
const globalAccount = "$G"

// checkStore refuses a store whose streams the server would not see: those of
// other accounts, and, for the member of a cluster, those from before it was one.
func checkStore(dir string, options *server.Options) error {
	root := filepath.Join(dir, server.JetStreamStoreDir)
	member, err := filepath.Glob(filepath.Join(root, "*", "_js_", "_meta_"))
	if err != nil {
		return fmt.Errorf("embedded NATS: store: %w", err)
	}
	streams, err := filepath.Glob(filepath.Join(root, "*", "streams", "*"))
	if err != nil {
		return fmt.Errorf("embedded NATS: store: %w", err)
	}
	withAccounts, clustered := len(options.TrustedOperators) > 0, len(options.Routes) > 1
	var hidden []string
	for _, path := range streams {
		account := filepath.Base(filepath.Dir(filepath.Dir(path)))
		if withAccounts == (account == globalAccount) || clustered && len(member) == 0 {
			hidden = append(hidden, filepath.Base(path))
		}
	}
	if len(hidden) == 0 {
		return nil
	}
	slices.Sort(hidden)
	return &HiddenStreamsError{Dir: dir, Streams: hidden}
}
