# What Buildroot's generic-package does with an external tree, as far as it concerns a package of data: fetch from
# `file` sites, compare the hashes, extract, install. Called with EXTERNAL, TREE (its name), OUTPUT.

SHELL = /bin/sh
.SHELLFLAGS = -ec

BR2_EXTERNAL_$(TREE)_PATH = $(EXTERNAL)
TARGET_DIR = $(OUTPUT)/target
INSTALL = install
UPPERCASE = $(shell echo '$(1)' | tr 'a-z.-' 'A-Z__')

pkgdir = $(dir $(lastword $(MAKEFILE_LIST)))
pkgname = $(lastword $(subst /, ,$(pkgdir)))

define hashed
	grep -q '^sha256  [0-9a-f]*  $(1)$$' $(2) || { echo 'ERROR: No hash found for $(1)'; exit 3; }
	cd $(3) && sed -n '/^sha256  .*  $(subst /,\/,$(1))$$/s/^sha256  //p' $(2) | sha256sum -c -
endef

define inner-generic-package
$(2)_PKGDIR = $(3)
$(OUTPUT)/build/$(1): @D = $(OUTPUT)/build/$(1)
$(OUTPUT)/build/$(1):
	test '$$($(2)_SITE_METHOD)' = file
	$$(call hashed,$$($(2)_SOURCE),$(3)$(1).hash,$$($(2)_SITE))
	mkdir -p $$@
	tar --strip-components=$$($(2)_STRIP_COMPONENTS) -C $$@ -xf $$($(2)_SITE)/$$($(2)_SOURCE)
	$$(call hashed,$$($(2)_LICENSE_FILES),$(3)$(1).hash,$$@)

$(1): $(OUTPUT)/build/$(1)
	$$($(2)_INSTALL_TARGET_CMDS)
$(1): @D = $(OUTPUT)/build/$(1)

$(1)-show:
	@echo '$$($(2)_VERSION)|$$($(2)_SITE)|$$($(2)_SOURCE)|$$($(2)_LICENSE)|$$($(2)_REDISTRIBUTE)'
PACKAGES += $(1)
endef

generic-package = $(call inner-generic-package,$(pkgname),$(call UPPERCASE,$(pkgname)),$(pkgdir))

include $(EXTERNAL)/external.mk

all: $(PACKAGES)
.DEFAULT_GOAL = all
