package run_test

import "os"

// killSelf ends the process as kill -9 does.
func killSelf() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill()
	}
	select {}
}
