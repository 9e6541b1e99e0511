package servertest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Folder makes a folder for what a server keeps. A test process that ends leaves
// its folders; the next one that asks for such a folder removes them.
func Folder(server string) (string, error) {
	begins := "recount-" + server + "-"
	old, err := filepath.Glob(filepath.Join(os.TempDir(), begins+"*-*"))
	if err != nil {
		return "", fmt.Errorf("find old folders of %s: %w", server, err)
	}
	for _, dir := range old {
		text, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), begins), "-")
		pid, err := strconv.Atoi(text)
		if err != nil {
			continue
		}
		if p, err := os.FindProcess(pid); err != nil || p.Signal(syscall.Signal(0)) != nil {
			_ = os.RemoveAll(dir)
		}
	}
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", begins, os.Getpid()))
	if err != nil {
		return "", fmt.Errorf("make a folder for %s: %w", server, err)
	}
	return dir, nil
}
