package process_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPythonPackage runs the unit tests of the Python package.
func TestPythonPackage(t *testing.T) {
	pythons(t, func(t *testing.T, interpreter string) {
		dir, err := filepath.Abs("../../../python")
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), interpreter, "-m", "unittest", "discover", "-s", "tests")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PYTHONPATH="+filepath.Join(dir, "src"), "PYTHONDONTWRITEBYTECODE=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}
