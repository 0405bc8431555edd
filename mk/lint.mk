# Checks that need no run. LINT_CHANGED=1 looks only at the files that differ from main.

.PHONY: lint
lint: deps-lint ## format, clang-tidy, cppcheck, headers, includes, banned functions, options; LINT_CHANGED=1
	+@$(BUILD) gen
	@LINT_CHANGED=$(LINT_CHANGED) scripts/lint

.PHONY: lint-proto
lint-proto: ## buf lint on proto/ (fetches buf through npx)
	npx --yes @bufbuild/buf lint proto

.PHONY: fmt
fmt: deps-lint ## format every C and C++ source in place
	@scripts/sources | xargs -r clang-format -i
