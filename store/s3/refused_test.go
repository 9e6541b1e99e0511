package s3

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"recount"
)

// answering is a server that says one thing.
func answering(t *testing.T, status int, body string, header ...string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	fake(t) // the credentials
	s := open(t, answering(t, 403, message("AccessDenied")), "bucket/folder")
	refusal(t, s, "does not let these credentials put", "s3:PutObject on arn:aws:s3:::bucket/folder/*", recount.ErrPermission)
	for act, call := range map[string]func() error{
		"s3:GetObject on arn:aws:s3:::bucket/folder/*": func() error { _, err := s.Open(t.Context(), "a"); return err },
		"s3:ListBucket on arn:aws:s3:::bucket":         func() error { return s.List(t.Context(), "", nil) },
		"s3:DeleteObject on arn:aws:s3:::bucket/":      func() error { return s.Delete(t.Context(), "a") },
	} {
		var e *recount.Error
		if err := call(); !errors.As(err, &e) || !strings.Contains(e.Next, act) || !errors.Is(err, recount.ErrPermission) {
			t.Errorf("got %#v, want the right %s", err, act)
		}
	}
	moved := open(t, answering(t, 301, message("PermanentRedirect"), "X-Amz-Bucket-Region", "eu-central-1"), "bucket")
	refusal(t, moved, "in another region", "region=eu-central-1", nil)
	refusal(t, open(t, answering(t, 404, message("NoSuchBucket")), "bucket"), "bucket does not exist", "make the bucket", nil)
	refusal(t, open(t, answering(t, 403, message("SignatureDoesNotMatch")), "bucket"), "credentials are not accepted", "renew", recount.ErrPermission)
	refusal(t, open(t, answering(t, 503, message("SlowDown")), "bucket"), "overloaded", "later", recount.ErrTransient)
	refusal(t, open(t, "http://127.0.0.1:1", "bucket"), "cannot be reached", "endpoint", recount.ErrTransient)
}

func TestWithoutCredentials(t *testing.T) {
	server := fake(t)
	for _, key := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"} {
		t.Setenv(key, "")
	}
	t.Setenv("HOME", t.TempDir())
	refusal(t, open(t, server, "bucket"), "no AWS credentials", "AWS_PROFILE", recount.ErrPermission)
}

func TestURLsWithMistakesAreRefused(t *testing.T) {
	fake(t)
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("HOME", t.TempDir())
	for text, why := range map[string]string{
		"s3://":                                "form",
		"s3:bucket":                            "form",
		"s3:///prefix":                         "form",
		"gs://bucket":                          "form",
		"s3://me:" + secret + "@bucket/x":      "user or a password",
		"s3://bucket/a/../b":                   "folder",
		"s3://bucket/a//b":                     "folder",
		"s3://bucket/a#b":                      "#",
		"s3://bucket?regoin=eu-west-1":         `did you mean "region"`,
		"s3://bucket?secret=" + secret:         `"secret" is not known`,
		"s3://bucket?region=a&region=b":        "twice",
		"s3://bucket?endpoint=localhost":       "endpoint",
		"s3://bucket?path_style=perhaps":       "path_style",
		"s3://bucket":                          "AWS_REGION",
		"s3://bucket?region=a&profile=nobodys": "nobodys",
		"s3://bucket?region=a&endpoint=" + url.QueryEscape("http://me:"+secret+"@x"): "endpoint",
	} {
		_, err := Open(t.Context(), text)
		var e *recount.Error
		if !errors.As(err, &e) || e.Code != recount.CodeConfig || !strings.Contains(e.Why, why) || e.Next == "" {
			t.Errorf("%s: got %v, want CodeConfig that says %q", text, err, why)
			continue
		}
		if strings.Contains(e.Error()+e.Next, secret) {
			t.Errorf("%s: the error holds the secret: %s", text, e.Error())
		}
	}
}
