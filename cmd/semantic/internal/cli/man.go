package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newManCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "Write the manual pages into a folder",
		Example: `  semantic man ~/.local/share/man/man1 && man semantic-serve`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			dir := given[0]
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return fmt.Errorf("write manual pages: %w", err)
			}
			root := cmd.Root()
			root.InitDefaultCompletionCmd()
			root.DisableAutoGenTag = true // the same pages from the same release
			header := &doc.GenManHeader{Title: "SEMANTIC", Section: "1", Source: "semantic " + a.Release, Manual: "semantic"}
			if err := doc.GenManTree(root, header, dir); err != nil {
				return fmt.Errorf("write manual pages: %w", err)
			}
			pages, err := filepath.Glob(filepath.Join(dir, "semantic*.1"))
			if err != nil {
				return fmt.Errorf("write manual pages: %w", err)
			}
			return a.printf("%d manual pages in %s\n", len(pages), dir)
		},
	}
}
