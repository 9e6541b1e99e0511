//go:build !unix

package pgtest

import "os/exec"

type account struct{}

func dropTo() (account, error) { return account{}, errNone }

func (account) own(string) error { return nil }

func (account) become(*exec.Cmd) {}
