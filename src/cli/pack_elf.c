/*-------------------------------------------------------------------------
 *
 * pack_elf.c
 *	  What a shared library is and needs, read with libelf.
 *
 * The C library a module needs is the highest GLIBC_ version among the ones
 * its version-needs section asks for, as the dynamic linker checks just these.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *-------------------------------------------------------------------------
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gelf.h>
#include <libelf.h>

#include "cli/pack.h"
#include "common/version.h"

#define MAX_NEEDED 512

static bool bad_library(const char *member, const char *what, DepotError *error);
static bool read_header(Elf *handle, const char *member, DepotPackElf *elf, DepotError *error);
static bool read_dynamic(Elf *handle, Elf_Scn *section, const GElf_Shdr *header, const char *member,
						 DepotPackElf *elf, DepotError *error);
static void read_search_path(Elf *handle, const GElf_Shdr *header, const GElf_Dyn *entry, DepotPackElf *elf);
static bool read_version_needs(Elf *handle, Elf_Scn *section, const GElf_Shdr *header, const char *member,
							   DepotPackElf *elf, DepotError *error);
static void read_symbols(Elf *handle, Elf_Scn *section, const GElf_Shdr *header, DepotPackElf *elf);
static void raise_libc(DepotPackElf *elf, const char *version);

static bool
bad_library(const char *member, const char *what, DepotError *error)
{
	depot_error_set(error, DEPOT_ERROR_PACKAGE, "\"%s\" %s", member, what);
	return depot_error_hint(error, "A package holds shared libraries as the linker made them.");
}

static bool
read_header(Elf *handle, const char *member, DepotPackElf *elf, DepotError *error)
{
	static const struct
	{
		int			machine;
		int			elf_class;
		int			data;
		const char *arch;
	}			machines[] = {
		{EM_X86_64, ELFCLASS64, ELFDATA2LSB, "amd64"}, {EM_AARCH64, ELFCLASS64, ELFDATA2LSB, "arm64"},
		{EM_386, ELFCLASS32, ELFDATA2LSB, "i386"}, {EM_ARM, ELFCLASS32, ELFDATA2LSB, "armhf"},
		{EM_PPC64, ELFCLASS64, ELFDATA2LSB, "ppc64el"}, {EM_S390, ELFCLASS64, ELFDATA2MSB, "s390x"},
		{EM_RISCV, ELFCLASS64, ELFDATA2LSB, "riscv64"}, {EM_MIPS, ELFCLASS64, ELFDATA2LSB, "mips64el"},
		{258, ELFCLASS64, ELFDATA2LSB, "loong64"},
	};
	GElf_Ehdr	header;

	if (gelf_getehdr(handle, &header) == NULL)
		return bad_library(member, "is not an ELF file", error);
	if (header.e_type != ET_DYN)
		return bad_library(member, "is not a shared library", error);
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
	{
		if (header.e_machine == machines[i].machine && header.e_ident[EI_CLASS] == machines[i].elf_class &&
			header.e_ident[EI_DATA] == machines[i].data)
		{
			snprintf(elf->arch, sizeof(elf->arch), "%s", machines[i].arch);
			return true;
		}
	}
	depot_error_set(error, DEPOT_ERROR_UNSUPPORTED,
					"\"%s\" is built for a machine that pg_depot does not know", member);
	return depot_error_detail(error, "Its ELF machine is %d.", header.e_machine);
}

static bool
read_dynamic(Elf *handle, Elf_Scn *section, const GElf_Shdr *header, const char *member,
			 DepotPackElf *elf, DepotError *error)
{
	Elf_Data   *data = elf_getdata(section, NULL);
	size_t		count = header->sh_entsize == 0 ? 0 : header->sh_size / header->sh_entsize;

	if (data == NULL)
		return bad_library(member, "has a damaged dynamic section", error);
	for (size_t i = 0; i < count; i++)
	{
		GElf_Dyn	entry;
		const char *name;
		char	  **grown;

		if (gelf_getdyn(data, (int) i, &entry) == NULL || entry.d_tag == DT_NULL)
			break;
		read_search_path(handle, header, &entry, elf);
		if (entry.d_tag != DT_NEEDED)
			continue;
		name = elf_strptr(handle, header->sh_link, entry.d_un.d_val);
		if (name == NULL || elf->needed_count == MAX_NEEDED)
			return bad_library(member, "has a damaged dynamic section", error);
		grown = realloc(elf->needed, sizeof(*grown) * (size_t) (elf->needed_count + 1));
		if (grown == NULL)
			return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		elf->needed = grown;
		elf->needed[elf->needed_count] = strdup(name);
		if (elf->needed[elf->needed_count] == NULL)
			return depot_error_set(error, DEPOT_ERROR_OUT_OF_MEMORY, "out of memory");
		elf->needed_count++;
	}
	return true;
}

/* Sees whether a DT_RUNPATH or DT_RPATH has the directory of libraries that a package brings. */
static void
read_search_path(Elf *handle, const GElf_Shdr *header, const GElf_Dyn *entry, DepotPackElf *elf)
{
	const char *part;

	if (entry->d_tag != DT_RUNPATH && entry->d_tag != DT_RPATH)
		return;
	part = elf_strptr(handle, header->sh_link, entry->d_un.d_val);
	while (part != NULL && part[0] != '\0')
	{
		size_t		length = strcspn(part, ":");

		if ((length == 15 && strncmp(part, "$ORIGIN/private", length) == 0) ||
			(length == 17 && strncmp(part, "${ORIGIN}/private", length) == 0))
			elf->finds_private = true;
		part += length + (part[length] == ':' ? 1 : 0);
	}
}

static void
raise_libc(DepotPackElf *elf, const char *version)
{
	if (strlen(version) < sizeof(elf->libc_min) && strspn(version, "0123456789.") == strlen(version) &&
		(elf->libc_min[0] == '\0' || depot_version_compare(version, elf->libc_min) > 0))
		snprintf(elf->libc_min, sizeof(elf->libc_min), "%s", version);
}

static bool
read_version_needs(Elf *handle, Elf_Scn *section, const GElf_Shdr *header, const char *member,
				   DepotPackElf *elf, DepotError *error)
{
	Elf_Data   *data = elf_getdata(section, NULL);
	int			offset = 0;

	if (data == NULL)
		return bad_library(member, "has damaged symbol versions", error);
	for (size_t i = 0; i < header->sh_info; i++)
	{
		GElf_Verneed need;
		GElf_Vernaux aux;
		int			aux_offset;

		if (gelf_getverneed(data, offset, &need) == NULL)
			return bad_library(member, "has damaged symbol versions", error);
		aux_offset = offset + (int) need.vn_aux;
		for (int j = 0; j < need.vn_cnt; j++)
		{
			const char *name;

			if (gelf_getvernaux(data, aux_offset, &aux) == NULL ||
				(name = elf_strptr(handle, header->sh_link, aux.vna_name)) == NULL)
				return bad_library(member, "has damaged symbol versions", error);
			if (strncmp(name, "GLIBC_", 6) == 0)
				raise_libc(elf, name + 6);
			/* Packed relative relocations: older dynamic linkers refuse the file. */
			if (strcmp(name, "GLIBC_ABI_DT_RELR") == 0)
				raise_libc(elf, "2.36");
			if (aux.vna_next == 0)
				break;
			aux_offset += (int) aux.vna_next;
		}
		if (need.vn_next == 0)
			break;
		offset += (int) need.vn_next;
	}
	return true;
}

static void
read_symbols(Elf *handle, Elf_Scn *section, const GElf_Shdr *header, DepotPackElf *elf)
{
	Elf_Data   *data = elf_getdata(section, NULL);
	size_t		count = header->sh_entsize == 0 ? 0 : header->sh_size / header->sh_entsize;

	for (size_t i = 0; data != NULL && i < count && !elf->is_module; i++)
	{
		GElf_Sym	symbol;
		const char *name;

		if (gelf_getsym(data, (int) i, &symbol) == NULL)
			break;
		if (symbol.st_shndx == SHN_UNDEF)
			continue;
		name = elf_strptr(handle, header->sh_link, symbol.st_name);
		elf->is_module = name != NULL && strcmp(name, "Pg_magic_func") == 0;
	}
}

bool
depot_elf_read(int fd, const char *member, DepotPackElf *elf, DepotError *error)
{
	Elf		   *handle;
	Elf_Scn    *section = NULL;
	bool		ok = false;

	memset(elf, 0, sizeof(*elf));
	if (elf_version(EV_CURRENT) == EV_NONE)
		return depot_error_set(error, DEPOT_ERROR_UNSUPPORTED, "libelf is of an unknown version");
	handle = elf_begin(fd, ELF_C_READ, NULL);
	if (handle == NULL || elf_kind(handle) != ELF_K_ELF)
	{
		bad_library(member, "is not an ELF file", error);
		goto done;
	}
	if (!read_header(handle, member, elf, error))
		goto done;
	while ((section = elf_nextscn(handle, section)) != NULL)
	{
		GElf_Shdr	header;

		if (gelf_getshdr(section, &header) == NULL)
		{
			bad_library(member, "has a damaged section table", error);
			goto done;
		}
		if (header.sh_type == SHT_DYNAMIC && !read_dynamic(handle, section, &header, member, elf, error))
			goto done;
		if (header.sh_type == SHT_GNU_verneed &&
			!read_version_needs(handle, section, &header, member, elf, error))
			goto done;
		if (header.sh_type == SHT_DYNSYM)
			read_symbols(handle, section, &header, elf);
	}
	ok = true;
done:
	if (handle != NULL)
		elf_end(handle);
	if (!ok)
		depot_elf_free(elf);
	return ok;
}

void
depot_elf_free(DepotPackElf *elf)
{
	for (int i = 0; i < elf->needed_count; i++)
		free(elf->needed[i]);
	free(elf->needed);
	elf->needed = NULL;
	elf->needed_count = 0;
}

bool
depot_elf_is_base_library(const char *soname)
{
	static const char *const names[] = {
		"libc.so.", "libm.so.", "libdl.so.", "libpthread.so.", "librt.so.", "libutil.so.", "libresolv.so.",
		"libnsl.so.1", "libanl.so.", "libmvec.so.", "libgcc_s.so.", "libstdc++.so.", "ld-linux",
		"ld64.so.", "libthread_db.so.",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if (strncmp(soname, names[i], strlen(names[i])) == 0)
			return true;
	}
	return false;
}
