package cli

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/native"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
)

// progress reports on the error stream, so that a command's output stays clean.
func (a *app) progress() *progress.Reporter { return progress.New(a.Err, terminal(a.Err)) }

func newRuntimeCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "runtime",
		Short: "Install the native libraries that compute",
		Long: `The native runtime is the llama.cpp libraries of one release, with Metal on
Apple Silicon. This binary is made for exactly one release and uses no other.`,
		Example: `  semantic runtime install
  semantic runtime status`,
	}, newRuntimeInstallCommand(a), newRuntimeStatusCommand(a), newRuntimePathCommand(a), newRuntimeFetchCommand(a))
}

func newRuntimeInstallCommand(a *app) *cobra.Command {
	var o native.Options
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install the native runtime, unless it is there",
		Long: `Fetch the native runtime with the npm client (and its configuration: registry,
proxy, credentials), compare it with the hash that this binary knows, and install
it under the home folder. What is there already and whole is left alone.

Without npm or without a network, fetch the package on another machine with
'npm pack' and give it to --from: the file, or a folder with it or its files.`,
		Example: `  semantic runtime install
  semantic runtime install --from node-llama-cpp-linux-x64-3.21.1.tgz
  semantic runtime install --force      # the libraries were damaged`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Home, err = a.home(); err != nil {
				return err
			}
			o.Progress = a.progress()
			_, before := native.Installed(o.Home)
			if err := native.Install(cmd.Context(), o); err != nil {
				return err
			}
			s, err := native.Inspect(o.Home)
			if err != nil {
				return err
			}
			verb := "is installed"
			if before == nil && !o.Force {
				verb = "was installed already"
			}
			return a.printf("llama.cpp %s for %s %s in %s\n", s.LlamaCPP, s.Platform, verb, s.Dir)
		},
	}
	cmd.Flags().StringVar(&o.From, "from", "", "install from the package `FILE`, or a folder with it or its files, instead of fetching it")
	cmd.Flags().BoolVar(&o.Force, "force", false, "install anew what is there")
	return cmd
}

func newRuntimeStatusCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say whether the native runtime is installed and whole",
		Long: `Compare every library of the native runtime with the hash that this binary
knows. Exits with 1 if the runtime cannot be used.`,
		Example: `  semantic runtime status
  semantic runtime status --json`,
		Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			dir, err := a.home()
			if err != nil {
				return err
			}
			s, problem := native.Inspect(dir)
			if problem != nil && !errors.Is(problem, native.ErrNotInstalled) {
				return problem
			}
			if asJSON {
				if err := a.printJSON(s); err != nil {
					return err
				}
				if problem != nil {
					return errSilent
				}
				return nil
			}
			rows := [][]string{
				{"state", string(s.State)},
				{"llama.cpp", s.LlamaCPP},
				{"package", fmt.Sprintf("%s %s (npm, %s)", s.Package, s.Version, s.Licence)},
				{"folder", s.Dir},
				{"size", progress.Bytes(s.Size)},
			}
			for _, other := range s.Others {
				rows = append(rows, []string{"unused", other})
			}
			if err := a.printTable(rows); err != nil {
				return err
			}
			return problem
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newRuntimePathCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "path",
		Short: "Print the folder of the native libraries",
		Long: `Print the folder of the native libraries, for scripts. It is an error if they are
not installed.`,
		Example: `  ls "$(semantic runtime path)"`,
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			dir, err := a.home()
			if err != nil {
				return err
			}
			libraries, err := native.Installed(dir)
			if err != nil {
				return err
			}
			return a.printf("%s\n", libraries)
		},
	}
}

func newRuntimeFetchCommand(a *app) *cobra.Command {
	var o native.FetchOptions
	cmd := &cobra.Command{
		Use:   "fetch --to DIR",
		Short: "Fetch the runtime's package without installing it",
		Long: `Fetch the runtime's npm package into a folder, as PLATFORM.tgz, compared with the
hash that this binary knows: for machines without a network ('runtime install
--from FILE'), and to check the libraries of other platforms. Files that are
there and whole are left alone, so a second run needs no network.`,
		Example: `  semantic runtime fetch --to usb-stick
  semantic runtime fetch --all-platforms --to packages`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.To == "" {
				return usagef("--to is missing: the folder that gets the files")
			}
			o.Progress = a.progress()
			files, err := native.Fetch(cmd.Context(), o)
			if err != nil {
				return err
			}
			for _, file := range files {
				if err := a.printf("%s\n", file); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&o.To, "to", "", "put the files into the folder `DIR`")
	cmd.Flags().BoolVar(&o.AllPlatforms, "all-platforms", false, "fetch the packages of all platforms, not only this machine's")
	return cmd
}

// printTable prints rows of aligned columns.
func (a *app) printTable(rows [][]string) error {
	t := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		if err := printTo(t, "%s\n", strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil {
		return &outputError{err: err}
	}
	return nil
}
