package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/semantic-worker/semantic/queue"
)

const (
	envPrefix = "SEMANTIC_"
	mask      = "********"
	// delimiter separates the levels of a key; settings have only one.
	delimiter = "."
)

// Error is a setting, or a whole file, that cannot be used.
type Error struct {
	// Key is the setting, or the unknown key; empty where it is the file.
	Key string
	// Source says where it was set: "--port", "SEMANTIC_PORT" or the file's path.
	Source string
	// Err says what is wrong with it.
	Err error
}

func (e *Error) Error() string {
	if e.Key == "" || e.Source == "--"+e.Key {
		return fmt.Sprintf("%s: %v", e.Source, e.Err)
	}
	return fmt.Sprintf("%s: %s: %v", e.Source, e.Key, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// ErrUnknownKey is wrapped by the [Error] of a key that no setting has.
var ErrUnknownKey = errors.New("unknown key")

// LoadOptions say where settings come from.
type LoadOptions struct {
	// File is the YAML file; it must exist. Empty means DefaultFile, if that
	// exists.
	File string
	// DefaultFile may be missing; empty means none.
	DefaultFile string
	// Environ are the environment's "NAME=value" entries.
	Environ []string
	// Flags are the command's flags; those that were given count. nil means none.
	Flags *pflag.FlagSet
}

// Loaded is a checked configuration and where each value came from.
type Loaded struct {
	Config
	// File is the YAML file that was read; empty if none was.
	File string
	// UnknownEnv lists SEMANTIC_* variables that no setting has. They are not
	// refused: other things may be named so, like a Kubernetes service.
	UnknownEnv []string

	values  map[string]any
	sources map[string]string
}

// DefaultFile is where the configuration is looked for without --config:
// semantic/config.yaml in the user's configuration folder.
func DefaultFile(getenv func(string) string) string {
	dir := getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home := getenv("HOME")
		if home == "" {
			return ""
		}
		dir = filepath.Join(home, ".config")
		if runtime.GOOS == "darwin" {
			dir = filepath.Join(home, "Library", "Application Support")
		}
	}
	return filepath.Join(dir, "semantic", "config.yaml")
}

// Flags adds the flags of the settings to a command's flags.
func Flags(flags *pflag.FlagSet, keys ...string) {
	for _, key := range keys {
		s, ok := find(key)
		if !ok {
			// A key is a constant of the command's source, and a test makes
			// every command: a flag that is missing there would be noticed.
			continue
		}
		switch preset := s.preset.(type) {
		case string:
			flags.String(key, preset, s.usage)
		case int:
			flags.Int(key, preset, s.usage)
		case float64:
			flags.Float64(key, preset, s.usage)
		case bool:
			flags.Bool(key, preset, s.usage)
		case time.Duration:
			flags.Duration(key, preset, s.usage)
		case []string, []Alias:
			flags.StringSlice(key, nil, s.usage)
		}
	}
}

// Keys are the names of all settings.
func Keys() []string {
	var keys []string
	for _, s := range settings() {
		keys = append(keys, s.key)
	}
	return keys
}

// layer is one source of settings.
type layer struct {
	values map[string]any
	// source names where key was set.
	source func(s setting) string
}

// Load reads, checks and merges all sources. Its errors are [*Error] values.
func Load(o LoadOptions) (*Loaded, error) {
	l := &Loaded{values: make(map[string]any), sources: make(map[string]string)}
	for _, s := range settings() {
		l.values[s.key], l.sources[s.key] = s.preset, "default"
	}
	fromFile, err := l.readFile(o)
	if err != nil {
		return nil, err
	}
	fromEnv, err := l.readEnv(o.Environ)
	if err != nil {
		return nil, err
	}
	for _, layer := range []layer{fromFile, fromEnv, flagLayer(o.Flags)} {
		if err := l.merge(layer); err != nil {
			return nil, err
		}
	}
	k := koanf.New(delimiter)
	if err := k.Load(confmap.Provider(l.values, ""), nil); err != nil {
		return nil, fmt.Errorf("merge the configuration: %w", err)
	}
	if err := k.Unmarshal("", &l.Config); err != nil {
		return nil, fmt.Errorf("merge the configuration: %w", err)
	}
	return l, nil
}

func (l *Loaded) merge(in layer) error {
	for _, key := range slices.Sorted(maps.Keys(in.values)) {
		s, ok := find(key)
		if !ok {
			return &Error{Key: key, Source: in.source(setting{key: key}), Err: unknownKey(key)}
		}
		value, err := s.parse(in.values[key])
		if err != nil {
			return &Error{Key: key, Source: in.source(s), Err: err}
		}
		l.values[key], l.sources[key] = value, in.source(s)
	}
	return nil
}

func (l *Loaded) readFile(o LoadOptions) (layer, error) {
	path := cmp.Or(o.File, o.DefaultFile)
	in := layer{source: func(setting) string { return path }}
	if path == "" {
		return in, nil
	}
	k := koanf.New(delimiter)
	err := k.Load(file.Provider(path), yaml.Parser())
	if errors.Is(err, fs.ErrNotExist) && o.File == "" {
		return in, nil
	}
	var failed *os.PathError
	if errors.As(err, &failed) {
		return in, &Error{Source: path, Err: fmt.Errorf("cannot be read: %w", failed.Err)}
	}
	if err != nil {
		return in, &Error{Source: path, Err: errors.New("not a YAML mapping: " + flatten(err))}
	}
	l.File = path
	in.values = k.Raw()
	return in, nil
}

// flatten is what the YAML parser says, on one line.
func flatten(err error) string {
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "yaml: "), "unmarshal errors:")
	return strings.Join(strings.Fields(text), " ")
}

func (l *Loaded) readEnv(environ []string) (layer, error) {
	names := make(map[string]string)
	for _, s := range settings() {
		names[s.env()] = s.key
	}
	k := koanf.New(delimiter)
	err := k.Load(env.Provider("", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			if value == "" {
				return "", nil // as good as unset
			}
			key, known := names[name]
			if !known && !ownVariable(name) {
				l.UnknownEnv = append(l.UnknownEnv, name)
			}
			return key, value
		},
	}), nil)
	if err != nil {
		return layer{}, fmt.Errorf("read the environment: %w", err)
	}
	slices.Sort(l.UnknownEnv)
	return layer{values: k.Raw(), source: setting.env}, nil
}

// ownVariable tells variables that are ours without being settings.
func ownVariable(name string) bool {
	return name == "SEMANTIC_HOME" || name == "SEMANTIC_CONFIG" || strings.HasPrefix(name, "SEMANTIC_TEST_")
}

func flagLayer(flags *pflag.FlagSet) layer {
	in := layer{values: make(map[string]any), source: func(s setting) string { return "--" + s.key }}
	if flags == nil {
		return in
	}
	flags.Visit(func(f *pflag.Flag) {
		if _, ok := find(f.Name); !ok {
			return // a flag of the command's own
		}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			in.values[f.Name] = list.GetSlice()
			return
		}
		in.values[f.Name] = f.Value.String()
	})
	return in
}

// unknownKey is the error of a key in the file; it names the setting that was
// probably meant.
func unknownKey(key string) error {
	guess := strings.ReplaceAll(strings.ToLower(key), "_", "-")
	if _, ok := find(guess); ok {
		return fmt.Errorf("%w: did you mean %q?", ErrUnknownKey, guess)
	}
	return fmt.Errorf("%w: `semantic config show` lists the keys", ErrUnknownKey)
}

// Row is one line of `config show`.
type Row struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Source string `json:"source"`
}

// Rows lists every setting with its effective value and its source; secrets
// are masked.
func (l *Loaded) Rows() []Row {
	var rows []Row
	for _, s := range settings() {
		value := l.values[s.key]
		switch v := value.(type) {
		case string:
			if s.secret && v != "" {
				value = mask
			}
			if s.key == "nats" {
				value = queue.MaskURLs(v)
			}
		case time.Duration:
			value = v.String()
		}
		rows = append(rows, Row{Key: s.key, Value: value, Source: l.sources[s.key]})
	}
	return rows
}

// Source says where the setting's value came from: "default", "--port",
// "SEMANTIC_PORT" or the file's path.
func (l *Loaded) Source(key string) string { return l.sources[key] }
